"""The flags of `vllm serve` that change how much memory it takes, read from a service's commands."""

import re
from collections.abc import Mapping
from string import Template
from typing import Annotated, Any, Literal

from pydantic import AliasChoices, BaseModel, BeforeValidator, ConfigDict, Field

UNITS = {"k": 10**3, "K": 2**10, "m": 10**6, "M": 2**20}  # as vLLM's parser has them: 32k is 32000, 32K is 32768


def _number(value: Any) -> Any:
    """Return a value such as `32K` as a number, and another value unchanged."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([kKmM])", str(value))
    return int(float(found[1]) * UNITS[found[2]]) if found else value


Count = Annotated[int, BeforeValidator(_number), Field(ge=1)]


class Flags(BaseModel):
    """The flags, with vLLM's own defaults. None: the default depends on model and GPU."""

    model_config = ConfigDict(frozen=True, validate_by_name=True)

    utilization: float = Field(0.92, gt=0, le=1, validation_alias=AliasChoices("utilization", "gpu_memory_utilization"))
    tensor_parallel: Count = Field(1, validation_alias=AliasChoices("tp", "tensor_parallel_size"))
    max_model_len: Count | Literal["auto", "-1"] | None = None  # auto, or -1: as long as fits
    max_num_seqs: Count | None = None
    max_num_batched_tokens: Count | None = None
    kv_cache_dtype: Literal["auto", "bfloat16", "float16", "fp8", "fp8_e4m3", "fp8_e5m2"] = "auto"
    quantization: str | None = None


def service_flags(service: Mapping[str, Any]) -> dict[str, str]:
    """Return the flags in a service's commands. Fills in variables from its `env`."""
    text = "\n".join(service.get("commands", []))
    env = {name: str(value) for name, value in service.get("env", {}).items()}
    found = re.findall(r"--([a-z][\w-]*)[ =]+([^\s\\-][^\s\\]*)", Template(text).safe_substitute(env))
    return {name.replace("-", "_"): value for name, value in found}
