"""The flags of `vllm serve` that change how much memory it takes, read from a service's commands."""

import json
import re
from collections.abc import Mapping
from string import Template
from typing import Annotated, Any, Literal

from pydantic import AliasChoices, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from capacity.errors import SizingError
from capacity.keys import names_of
from capacity.known_flags import SHORT, unknown

# as vLLM's parser has them: 32k is 32000, 32K is 32768
UNITS = {letter: 1000**power for power, letter in enumerate("kmgt", 1)}
UNITS |= {letter: 1024**power for power, letter in enumerate("KMGT", 1)}
# `--name value`, `--name=value`, or `--name` alone, which means true; `-tp value` for some of them
WRITTEN = re.compile(
    r"""(?:--([a-z][\w.-]*)|(?<!\S)-([a-zO]{1,3}))(?:[ =]+('[^']*'|"[^"]*"|-1\b|[^\s\\'"-][^\s\\]*))?"""
)
ENGINE = re.compile(
    r"(?:vllm\s+serve|vllm\.entrypoints\S+)((?:[^\n\\]|\\.|\\\n)*)"
)  # its command, to the end of the line
FloatType = Literal["auto", "float32", "float16", "bfloat16"]
DRAFTED_BY_LOOKUP = {"ngram", "ngram_gpu", "suffix"}  # methods that need no model
NOT_ASYNCHRONOUS = {"ngram", "suffix"}  # methods that vLLM plans no batch ahead with (VllmConfig.__post_init__)
SMALL_CACHE = ("fp8", "fp8_e4m3", "fp8_e5m2")  # types of the KV cache with one byte a number
CACHE_TYPES = ("auto", "bfloat16", "float16", *SMALL_CACHE)


def _number(value: Any) -> Any:
    """Return a value such as `32K` as a number, and another value unchanged."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([kKmMgGtT])", str(value))
    return int(float(found[1]) * UNITS[found[2]]) if found else value


def _document(value: Any) -> Any:
    """Return JSON as the object that it describes, and another value unchanged."""
    return json.loads(value) if isinstance(value, str) else value


Count = Annotated[int, BeforeValidator(_number), Field(ge=1)]


class Speculation(BaseModel):
    """vLLM's `--speculative-config`: how tokens are drafted."""

    model_config = ConfigDict(frozen=True)

    method: str = ""
    num_speculative_tokens: Count | None = None

    @model_validator(mode="after")
    def _known(self) -> "Speculation":
        if not self.method:
            raise SizingError("sizing does not know what a model that drafts takes", "it knows mtp, eagle3 and ngram")
        if self.method in DRAFTED_BY_LOOKUP and not self.num_speculative_tokens:
            raise ValueError(f"the method {self.method} needs num_speculative_tokens")
        if self.method not in DRAFTED_BY_LOOKUP and not self.has_layer:
            raise ValueError(
                f"sizing does not know what the method {self.method} takes; it knows mtp, eagle3 and ngram"
            )
        return self

    @property
    def uses_own_layers(self) -> bool:
        """Whether the model's own layers draft: multi-token prediction."""
        return self.method.endswith("mtp")

    @property
    def has_layer(self) -> bool:
        """Whether a layer drafts, and keeps what it reads."""
        return self.uses_own_layers or self.method in ("eagle", "eagle3")


class Flags(BaseModel):
    """The flags, with vLLM's own defaults. None: the default depends on model and GPU."""

    model_config = ConfigDict(frozen=True, validate_by_name=True)

    utilization: float = Field(0.92, gt=0, le=1, validation_alias=AliasChoices("utilization", "gpu_memory_utilization"))
    tensor_parallel: Count = Field(1, validation_alias=AliasChoices("tp", "tensor_parallel_size"))
    max_model_len: Count | Literal["auto", "-1"] | None = None  # auto, or -1: as long as fits
    max_num_seqs: Count | None = None
    max_num_batched_tokens: Count | None = None
    kv_cache_dtype: str = "auto"
    kv_cache_memory_bytes: Count | None = None
    quantization: str | None = None
    block_size: Count | None = None
    enable_prefix_caching: bool = True
    enable_chunked_prefill: bool = True
    mamba_cache_mode: Literal["none", "align", "all"] = "align"
    mamba_cache_dtype: FloatType = "auto"
    mamba_ssm_cache_dtype: FloatType = "auto"
    async_scheduling: bool = True
    enforce_eager: bool = False
    language_model_only: bool = False
    runner: str = "auto"
    convert: str = "auto"
    hf_overrides: Annotated[dict[str, Any], BeforeValidator(_document)] = {}
    speculative_config: Annotated[Speculation | None, BeforeValidator(_document)] = None

    @model_validator(mode="before")
    @classmethod
    def _no_others(cls, given: Any) -> Any:
        read = names_of(cls) | cls.model_fields.keys()
        for name, value in given.items():
            if name not in read and value is not None and unknown(name, value):
                written = f"--{name.replace('_', '-')}" + ("" if value == "true" else f" {value}")
                raise SizingError(f"sizing does not know what {written} changes", "leave it out to size the rest")
        if (cache := given.get("kv_cache_dtype", "auto")) not in CACHE_TYPES:
            raise SizingError(
                f"sizing does not know the type {cache} of the KV cache", f"it knows {', '.join(CACHE_TYPES)}"
            )
        return given

    @property
    def pools(self) -> bool:
        """Whether the engine makes vectors or scores, and has no lm_head and no sampler."""
        return self.runner == "pooling" or self.convert in ("embed", "classify")

    @property
    def has_small_cache(self) -> bool:
        """Whether the KV cache has one byte a number, by its flag."""
        return self.kv_cache_dtype in SMALL_CACHE

    @property
    def drafted_tokens(self) -> int:
        """The tokens that are drafted in a step."""
        return (self.speculative_config.num_speculative_tokens or 1) if self.speculative_config else 0

    @property
    def batches_at_work(self) -> int:
        """The batches that are planned and not finished (VllmConfig.max_concurrent_batches)."""
        method = self.speculative_config.method if self.speculative_config else ""
        return 2 if self.async_scheduling and method not in NOT_ASYNCHRONOUS else 1


def service_flags(service: Mapping[str, Any]) -> dict[str, str]:
    """Return the flags in a service's commands. Fills in variables from its `env`."""
    env = {name: str(value) for name, value in service.get("env", {}).items()}
    commands = Template("\n".join(service.get("commands", []))).safe_substitute(env)
    written = " ".join(ENGINE.findall(commands))
    return written_flags(written or re.sub(r"(?<!\S)-[a-zA-Z]{1,3}\b", "", commands))  # not those of `set -e`


def written_flags(text: str) -> dict[str, str]:
    """Return the flags in `text` by name.

    A flag without a value is `true`, `--no-NAME` makes `NAME` `false`, and `--NAME.KEY VALUE` a JSON object. A flag of
    one letter, or three, has its long name.
    """
    found: dict[str, str] = {}
    objects: dict[str, dict[str, str]] = {}
    for written, short, value in WRITTEN.findall(text):
        name, _, key = (written or SHORT.get(short, short)).replace("-", "_").partition(".")
        if key:
            objects.setdefault(name, {})[key] = value.strip("'\"")
        elif name.startswith("no_") and not value:
            found[name.removeprefix("no_")] = "false"
        else:
            found[name] = value.strip("'\"") or "true"
    return found | {name: json.dumps(values) for name, values in objects.items()}
