"""How a checkpoint's weights are quantised: its `quantization_config`, or NVIDIA's hf_quant_config.json."""

import re
from collections.abc import Iterable
from typing import Any

from pydantic import AliasChoices, BaseModel, ConfigDict, Field

from capacity.errors import SizingError

GIVEN = "give its safetensors index beside config.json, or their size with --weights GIB"
UNQUANTISED = 2.0  # bytes of a parameter
BYTES = {"fp8": 1.0, "mxfp4": 4.25 / 8, "gpt_oss_mxfp4": 4.25 / 8}  # mxfp4: an exponent of 8 bits for each 32 numbers
# NVFP4 has a scale of one byte for each 16 numbers (vLLM's ModelOptNvFp4LinearMethod)
MODELOPT_BYTES = {"FP8": 1.0, "FP8_PER_CHANNEL_PER_TOKEN": 1.0, "NVFP4": 0.5 + 1 / 16}


class Quantization(BaseModel):
    """The fields that sizing reads, under their names there."""

    model_config = ConfigDict(frozen=True, arbitrary_types_allowed=True)

    quant_method: str = ""
    quant_algo: str = ""
    bits: float | None = None
    group_size: int | None = None
    config_groups: dict[str, Any] = {}
    kv_cache: Any = Field(default=None, validation_alias=AliasChoices("kv_cache_scheme", "kv_cache_quant_algo"))
    ignored: list[str] | None = Field(
        default=None, validation_alias=AliasChoices("modules_to_not_convert", "ignore", "exclude_modules")
    )

    def __bool__(self) -> bool:
        """Return whether the checkpoint is quantised."""
        return bool(self.quant_method or self.quant_algo)

    @property
    def kv_cache_is_small(self) -> bool:
        """Whether a KV cache of the type `auto` has one byte a number (vLLM's resolve_kv_cache_dtype_string)."""
        if isinstance(self.kv_cache, dict):
            return self.kv_cache.get("num_bits") == 8
        return str(self.kv_cache).upper() == "FP8"

    @property
    def bytes_per_parameter(self) -> float:
        """The bytes of a parameter of a quantised layer. Raises SizingError for a method that is not known."""
        if not self:
            return UNQUANTISED
        if self.quant_algo:
            return self._modelopt_bytes()
        if self.quant_method in BYTES:
            return BYTES[self.quant_method]
        if self.quant_method not in ("awq", "gptq", "compressed-tensors"):
            raise SizingError(f"quantization_config of the method {self.quant_method!r} is not known", GIVEN)
        return self._bytes_of_bits()

    def kept(self, module: str, layers: Iterable[int]) -> float:
        """Return the share of a module's layers, e.g. of `self_attn`, that stays as it was trained."""
        numbers, found = set(layers), set()
        for pattern in self.ignored or ():
            if re.search(rf"{module}(?!_)", pattern):
                one = re.search(r"layers[\\.]+(\d+)", pattern)
                found |= {int(one[1])} & numbers if one else numbers
        return len(found) / len(numbers) if numbers else 0.0

    def _modelopt_bytes(self) -> float:
        if self.quant_algo not in MODELOPT_BYTES:
            raise SizingError(f"quantization_config of the algorithm {self.quant_algo!r} is not known", GIVEN)
        return MODELOPT_BYTES[self.quant_algo]

    def _bytes_of_bits(self) -> float:
        """Return the bytes of a number and its share of what a group has: a scale of two bytes and a zero point.

        Groups of fp4 have a scale of one byte.
        """
        settings: dict[str, Any] = {"num_bits": self.bits, "group_size": self.group_size}
        for group in self.config_groups.values():
            settings = group["weights"]
        if not settings.get("num_bits"):
            raise SizingError("quantization_config has no num_bits", GIVEN)
        size = settings["num_bits"] / 8
        numbers = settings.get("group_size") or -1
        shared = 1 if settings.get("type") == "float" else 2 + size
        return float(size + (shared / numbers if numbers > 0 else 0))


def from_modelopt(document: dict[str, Any]) -> dict[str, Any]:
    """Return a `quantization_config` for the content of an hf_quant_config.json."""
    return {"quant_method": "modelopt", **document.get("quantization", {})}
