"""A model's numbers: what its layers keep in the KV cache, and how much memory its weights take."""

import re
from collections import Counter
from typing import Any, NamedTuple

from pydantic import AliasChoices, BaseModel, Field, PositiveInt

from capacity.errors import SizingError

GIB = 2**30
MXFP4_ALIGNMENT = 256  # vLLM pads the experts' hidden size to it (its Mxfp4MoEMethod): 2880 becomes 3072 in gpt-oss
# what config.json leaves to the code of transformers; every n-th layer (`sliding_window_pattern`) sees everything
DEFAULTS: dict[str, dict[str, Any]] = {
    "gemma2": {"sliding_window_pattern": 2, "tie_word_embeddings": True},
    "gemma3_text": {"sliding_window_pattern": 6, "tie_word_embeddings": True, "vocab_size": 262208, "head_dim": 256}
    | {"num_attention_heads": 8, "num_key_value_heads": 4},
    "gemma4_text": {"sliding_window_pattern": 6, "tie_word_embeddings": True},
}
FULL, SLIDING = "full_attention", "sliding_attention"
# Keys of models some of whose layers keep a state, or an index, beside or instead of a KV cache
UNKNOWN = r"full_attention_interval|hybrid_override_pattern|attn_layer_period|index_head_dim|mamba_|ssm_|linear_n"
NOT_COUNTED = {"llama4_text"}  # whose layers take turns in a way of their own: their weights come from the index alone
GIVEN = "give its safetensors index beside config.json, or their size with --weights GIB"
BYTES_PER_PARAMETER = {None: 2.0, "fp8": 1.0, "mxfp4": 4.25 / 8}  # mxfp4: an exponent of 8 bits for each 32 numbers


class Layer(NamedTuple):
    """What the KV cache of a layer keeps."""

    token_bytes: int  # that it keeps for each token, on one GPU
    window: int | None  # of how many of the last tokens; None: of all


def known_as(*names: str) -> Any:
    """Return a field, 0 by default, that has one of these names in a config.json."""
    return Field(default=0, validation_alias=AliasChoices(*names))


class Model(BaseModel):
    """The fields of a Hugging Face config.json that sizing reads, under their names there. A null counts as absent."""

    published_gib: float | None = None  # the sum of the checkpoint's tensors, where it is known
    model_type: str = ""
    num_hidden_layers: PositiveInt
    hidden_size: PositiveInt
    intermediate_size: int = 0
    num_attention_heads: PositiveInt
    num_key_value_heads: PositiveInt | None = None
    head_dim: PositiveInt | None = None
    vocab_size: PositiveInt
    max_position_embeddings: PositiveInt = 131072
    tie_word_embeddings: bool = False
    # sliding windows and mixed layers
    layer_types: list[str] | None = None
    sliding_window: PositiveInt | None = None
    sliding_window_pattern: PositiveInt | None = None
    use_sliding_window: bool = True
    num_kv_shared_layers: int = 0
    global_head_dim: PositiveInt | None = None  # Gemma 4: of the layers that see everything
    num_global_key_value_heads: PositiveInt | None = None
    attention_k_eq_v: bool = False
    # multi-head latent attention
    kv_lora_rank: PositiveInt | None = None
    q_lora_rank: PositiveInt | None = None
    qk_nope_head_dim: int = 0
    qk_rope_head_dim: int = 0
    v_head_dim: int = 0
    # mixtures of experts
    experts: int = known_as("num_experts", "n_routed_experts", "num_local_experts")
    experts_per_token: int = known_as("num_experts_per_tok", "experts_per_token", "top_k_experts")
    moe_intermediate_size: int = 0
    n_shared_experts: int = 0
    shared_expert_intermediate_size: int = 0
    first_k_dense_replace: int = 0
    quantization_config: dict[str, Any] = {}
    vision_config: dict[str, Any] = {}

    @classmethod
    def from_config(cls, config: dict[str, Any], published_gib: float | None = None) -> "Model":
        """Return the model of a config.json. Raises ValidationError, and SizingError for unknown layers."""
        flat = {**config, **(config.get("text_config") or {}), "published_gib": published_gib}
        given = {name: value for name, value in flat.items() if value is not None}
        model = cls.model_validate(DEFAULTS.get(given.get("model_type", ""), {}) | given)
        unknown = sorted(set(model.kinds) - {FULL, SLIDING, "chunked_attention"})
        if unknown := unknown + [key for key, value in given.items() if value and re.match(UNKNOWN, key)]:
            raise SizingError(f"has layers of {unknown[0]}, whose memory sizing does not know")
        if len(model.kinds) < model.num_hidden_layers or model.num_kv_shared_layers >= model.num_hidden_layers:
            raise SizingError(f"layer_types or num_kv_shared_layers don't fit {model.num_hidden_layers} layers")
        if not all(model.heads(FULL)):
            raise SizingError(f"hidden_size {model.hidden_size} is too small for {model.num_attention_heads} heads")
        return model

    @property
    def kinds(self) -> list[str]:
        """The kind of each layer."""
        if self.layer_types:
            return self.layer_types
        slides = self.sliding_window and self.use_sliding_window
        every = (self.sliding_window_pattern or self.num_hidden_layers + 1) if slides else 1
        return [SLIDING if (layer + 1) % every else FULL for layer in range(self.num_hidden_layers)]

    @property
    def expert_size(self) -> int:
        """The inner size of an expert."""
        return self.moe_intermediate_size or self.intermediate_size

    def heads(self, kind: str) -> tuple[int, int]:
        """Return how many KV heads a layer of that kind has, and their size."""
        heads = self.num_key_value_heads or self.num_attention_heads
        size = self.head_dim or self.hidden_size // self.num_attention_heads
        if kind == FULL:
            return self.num_global_key_value_heads or heads, self.global_head_dim or size
        return heads, size

    def layers(self, element_bytes: int, tensor_parallel: int) -> Counter[Layer]:
        """Return the number of layers by what they keep.

        Grouped-query attention keeps a key and a value for each KV head, and tensor parallelism spreads the heads, but
        never less than one to a GPU. Latent attention keeps one compressed vector, whole on every GPU (vLLM's
        FullAttentionSpec and MLAAttentionSpec).
        """
        found: Counter[Layer] = Counter()
        for kind in self.kinds[: self.num_hidden_layers - self.num_kv_shared_layers]:
            heads, size = self.heads(kind)
            token = 2 * max(1, heads // tensor_parallel) * size
            if self.kv_lora_rank:
                token = self.kv_lora_rank + self.qk_rope_head_dim
            found[Layer(token * element_bytes, None if kind == FULL else self.sliding_window)] += 1
        return found

    def weights_gib(self, quantization: str | None = None) -> float:
        """Return the GiB that vLLM loads, all GPUs together.

        It is the size of the checkpoint's tensors, or else a count of parameters without norms, biases and scales,
        within 3 % of what vLLM reports. `quantization` is vLLM's flag: fp8 makes one byte of the two of each parameter
        of a linear layer while it loads, other methods are the checkpoint's own. Raises SizingError for a method that
        is not known.
        """
        attention, experts = self._attention(), self._experts()
        linear = attention + experts + self._mlp()
        settings = self.quantization_config
        if self.published_gib is not None:
            total = self.published_gib * GIB
        elif self.model_type in NOT_COUNTED:
            raise SizingError(f"weights of {self.model_type} are not counted", GIVEN)
        else:  # embeddings, lm_head and the vision tower stay as they were trained
            kept = self.vocab_size * self.hidden_size * (1 if self.tie_word_embeddings else 2) + self._vision()
            skipped = str(settings.get("modules_to_not_convert") or settings.get("ignore"))
            exempt = attention if "self_attn" in skipped else 0
            total = (kept + exempt) * 2 + (linear - exempt) * self._bytes_per_parameter()
        if quantization == "fp8" and not settings:
            total -= linear
        if settings.get("quant_method") == "mxfp4":
            padding = (-self.hidden_size % MXFP4_ALIGNMENT) / self.hidden_size
            total += experts * padding * self._bytes_per_parameter()
        return total / GIB

    def _attention(self) -> int:
        hidden, heads, rope = self.hidden_size, self.num_attention_heads, self.qk_rope_head_dim
        if self.kv_lora_rank:
            query, lora = heads * (self.qk_nope_head_dim + rope), self.q_lora_rank
            queries = lora * (hidden + query) if lora else hidden * query
            unfolded = self.kv_lora_rank * heads * (self.qk_nope_head_dim + self.v_head_dim)
            latent = hidden * (self.kv_lora_rank + rope) + unfolded
            return self.num_hidden_layers * (queries + latent + heads * self.v_head_dim * hidden)
        total = 0
        for kind in self.kinds:
            kv_heads, size = self.heads(kind)
            keys_and_values = 1 if self.attention_k_eq_v and kind == FULL else 2
            total += hidden * size * (2 * heads + keys_and_values * kv_heads)
        return total

    def _experts(self) -> int:
        sparse = self.num_hidden_layers - self.first_k_dense_replace if self.experts else 0
        shared = self.n_shared_experts * self.expert_size + self.shared_expert_intermediate_size
        return sparse * 3 * self.hidden_size * (self.experts * self.expert_size + shared)

    def _mlp(self) -> int:
        """Gated feed-forward layers; Gemma 4 has one beside the experts in every layer."""
        all_layers = not self.experts or self.model_type.startswith("gemma4")
        layers = self.num_hidden_layers if all_layers else self.first_k_dense_replace
        return layers * 3 * self.hidden_size * self.intermediate_size

    def _vision(self) -> int:
        hidden, layers = (int(self.vision_config.get(key) or 0) for key in ("hidden_size", "num_hidden_layers"))
        layers = layers or int(self.vision_config.get("depth") or 0)  # as Qwen's are called
        return layers * hidden * (4 * hidden + 2 * int(self.vision_config.get("intermediate_size", 4 * hidden)))

    def _bytes_per_parameter(self) -> float:
        method, settings = self.quantization_config.get("quant_method"), self.quantization_config
        if method in BYTES_PER_PARAMETER:
            return BYTES_PER_PARAMETER[method]
        if method not in ("awq", "gptq", "compressed-tensors"):
            raise SizingError(f"quantization_config of the method {method!r} is not known", GIVEN)
        for group in (settings.get("config_groups") or {}).values():
            settings = group["weights"]
        size = settings["bits" if "bits" in settings else "num_bits"] / 8
        numbers = settings.get("group_size") or -1  # share a scale of two bytes and a zero point; of fp4 one of a byte
        shared = 1 if settings.get("type") == "float" else 2 + size
        return float(size + (shared / numbers if numbers > 0 else 0))
