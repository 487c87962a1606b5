"""The flags of `vllm serve` that change how much memory it takes, read from a service's commands."""

import json
import re
from collections.abc import Mapping
from string import Template
from typing import Annotated, Any, Literal

from pydantic import AliasChoices, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

UNITS = {"k": 10**3, "K": 2**10, "m": 10**6, "M": 2**20}  # as vLLM's parser has them: 32k is 32000, 32K is 32768
# `--name value`, `--name=value`, or `--name` alone, which means true
WRITTEN = re.compile(r"""--([a-z][\w.-]*)(?:[ =]+('[^']*'|"[^"]*"|-1\b|[^\s\\'"-][^\s\\]*))?""")
FloatType = Literal["auto", "float32", "float16", "bfloat16"]
DRAFTED_BY_LOOKUP = {"ngram", "ngram_gpu", "suffix"}  # methods that need no model
NOT_ASYNCHRONOUS = {"ngram", "suffix"}  # methods that vLLM plans no batch ahead with (VllmConfig.__post_init__)
# flags that change the memory in a way that sizing does not know, unless they have one of these values
REFUSED = {
    **dict.fromkeys(("pipeline_parallel_size", "decode_context_parallel_size", "data_parallel_size"), "1"),
    **dict.fromkeys(("cpu_offload_gb", "num_gpu_blocks_override", "kv_offloading_size"), "0"),
    **dict.fromkeys(("use_replayssm", "disable_hybrid_kv_cache_manager", "enable_lora"), "false"),
    "dtype": "auto half float16 bfloat16",
}


def _number(value: Any) -> Any:
    """Return a value such as `32K` as a number, and another value unchanged."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([kKmM])", str(value))
    return int(float(found[1]) * UNITS[found[2]]) if found else value


def _document(value: Any) -> Any:
    """Return JSON as the object that it describes, and another value unchanged."""
    return json.loads(value) if isinstance(value, str) else value


Count = Annotated[int, BeforeValidator(_number), Field(ge=1)]


class Speculation(BaseModel):
    """vLLM's `--speculative-config`: how tokens are drafted."""

    model_config = ConfigDict(frozen=True)

    method: str
    num_speculative_tokens: Count | None = None

    @model_validator(mode="after")
    def _known(self) -> "Speculation":
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
    kv_cache_dtype: Literal["auto", "bfloat16", "float16", "fp8", "fp8_e4m3", "fp8_e5m2"] = "auto"
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
    speculative_config: Annotated[Speculation | None, BeforeValidator(_document)] = None

    @model_validator(mode="before")
    @classmethod
    def _no_others(cls, given: Any) -> Any:
        for name, harmless in REFUSED.items():
            if (value := given.get(name)) is not None and str(value).lower() not in harmless.split():
                raise ValueError(f"sizing does not know what --{name.replace('_', '-')} {value} changes")
        return given

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
    return written_flags(Template("\n".join(service.get("commands", []))).safe_substitute(env))


def written_flags(text: str) -> dict[str, str]:
    """Return the flags in `text` by name.

    A flag without a value is `true`, `--no-NAME` makes `NAME` `false`, and `--NAME.KEY VALUE` a JSON object.
    """
    found: dict[str, str] = {}
    objects: dict[str, dict[str, str]] = {}
    for written, value in WRITTEN.findall(text):
        name, _, key = written.replace("-", "_").partition(".")
        if key:
            objects.setdefault(name, {})[key] = value.strip("'\"")
        elif name.startswith("no_") and not value:
            found[name.removeprefix("no_")] = "false"
        else:
            found[name] = value.strip("'\"") or "true"
    return found | {name: json.dumps(values) for name, values in objects.items()}
