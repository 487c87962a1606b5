"""How a checkpoint's weights are quantised: its `quantization_config`, or NVIDIA's hf_quant_config.json."""

import re
from collections.abc import Iterable, Sequence
from typing import Any

from pydantic import AliasChoices, BaseModel, ConfigDict, Field

from capacity.errors import SizingError

GIVEN = "give its safetensors index beside config.json, or their size with --weights GIB"
UNQUANTISED = 2.0  # bytes of a parameter
BYTES = {"fp8": 1.0, "mxfp4": 4.25 / 8, "gpt_oss_mxfp4": 4.25 / 8}  # mxfp4: an exponent of 8 bits for each 32 numbers
# NVFP4 has a scale of one byte for each 16 numbers (vLLM's ModelOptNvFp4LinearMethod)
MODELOPT_BYTES = {"FP8": 1.0, "FP8_PER_CHANNEL_PER_TOKEN": 1.0, "NVFP4": 0.5 + 1 / 16}

WHOLE = {"Linear"}  # what a group for all linear layers is for
SMALL = r"indexer|in_proj_(?:a|b|ba)\b|conv1d|experts_gate"  # parts of a module that hardly matter


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
            if self.quant_algo not in MODELOPT_BYTES:
                raise SizingError(f"quantization_config of the algorithm {self.quant_algo!r} is not known", GIVEN)
            return MODELOPT_BYTES[self.quant_algo]
        if self.quant_method in BYTES:
            return BYTES[self.quant_method]
        if self.quant_method not in ("awq", "gptq", "compressed-tensors"):
            raise SizingError(f"quantization_config of the method {self.quant_method!r} is not known", GIVEN)
        groups = [group["weights"] for group in self.config_groups.values()]
        return _bytes_of_bits(groups[0] if groups else {"num_bits": self.bits, "group_size": self.group_size})

    def bytes_of(self, module: str, layers: Sequence[int]) -> float:
        """Return the bytes of a parameter of a module, e.g. of `self_attn`, in the layers that have it, on average.

        Groups may name the modules that they are for (vLLM's ModelOptMixedPrecisionConfig). Other modules, and those
        that are to be ignored, stay as they were trained.
        """
        named = self._named_groups
        if not named:
            kept = _share(self.ignored or (), module, layers)
            return kept * UNQUANTISED + (1 - kept) * self.bytes_per_parameter
        shares = [(_share(group["targets"], module, layers), _bytes_of_bits(group["weights"])) for group in named]
        return UNQUANTISED + sum(share * (size - UNQUANTISED) for share, size in shares)

    @property
    def keeps_drafts(self) -> bool:
        """Whether the layers for drafts stay as they were trained."""
        return bool(self._named_groups) or any("mtp" in pattern for pattern in self.ignored or ())

    @property
    def bytes_of_head(self) -> float:
        """The bytes of a parameter of lm_head, which stays as it was trained unless a group names it."""
        sizes = [_bytes_of_bits(group["weights"]) for group in self._named_groups if "lm_head" in group["targets"]]
        return min(sizes, default=UNQUANTISED)

    @property
    def _named_groups(self) -> list[dict[str, Any]]:
        return [group for group in self.config_groups.values() if set(group.get("targets") or ()) - WHOLE]


def _share(patterns: Iterable[str], module: str, layers: Sequence[int]) -> float:
    """Return the share of a module's layers that patterns name, whole or in one of its large projections."""
    numbers, found = set(layers), set()
    named = re.compile(rf"(^|[.*]){module}(\\?\.?\*|\\?\.(?!{SMALL})\w*(proj|experts)[\w.*]*)?$")
    for pattern in patterns:
        if named.search(pattern):
            one = re.search(r"layers[\\.]+(\d+)", pattern)
            found |= {int(one[1])} & numbers if one else numbers
    return len(found) / len(numbers) if numbers else 0.0


def _bytes_of_bits(settings: dict[str, Any]) -> float:
    """Return the bytes of a number and its share of what a group has: a scale of two bytes and a zero point.

    Groups of fp4 have a scale of one byte.
    """
    if not settings.get("num_bits"):
        raise SizingError("quantization_config has no num_bits", GIVEN)
    size = settings["num_bits"] / 8
    numbers = settings.get("group_size") or -1
    shared = 1 if settings.get("type") == "float" else 2 + size
    return float(size + (shared / numbers if numbers > 0 else 0))


def from_modelopt(document: dict[str, Any]) -> dict[str, Any]:
    """Return a `quantization_config` for the content of an hf_quant_config.json."""
    return {"quant_method": "modelopt", **document.get("quantization", {})}
