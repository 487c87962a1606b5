"""A model's numbers: the fields of its config.json that sizing reads, and the kind of each of its layers."""

from typing import Any, Literal

from pydantic import AliasChoices, BaseModel, Field, PositiveInt

from capacity import keys
from capacity.encoders import TEXT_ENCODERS, Listener, translated
from capacity.errors import SizingError
from capacity.kinds import (
    CONVOLUTION,
    DEFAULTS,
    DELTA,
    ENCODER,
    FULL,
    KIMI,
    KINDS,
    LATENT,
    SLIDING,
    STATEFUL,
)
from capacity.quantization import Quantization

GIB = 2**30
FloatType = Literal["auto", "float32", "float16", "bfloat16"]


def known_as(*names: str) -> Any:
    """Return a field, 0 by default, that has one of these names in a config.json."""
    return Field(default=0, validation_alias=AliasChoices(*names))


class KimiLayers(BaseModel):
    """Kimi Linear's `linear_attn_config`; its layers are numbered from 1."""

    full_attn_layers: list[int]
    kda_layers: list[int]
    head_dim: PositiveInt
    num_heads: PositiveInt
    short_conv_kernel_size: PositiveInt


class Model(BaseModel):
    """The fields of a Hugging Face config.json that sizing reads, under their names there. A null counts as absent."""

    published_gib: float | None = None  # the sum of the checkpoint's tensors, where it is known
    model_type: str = ""
    number_type: str = Field("", validation_alias=AliasChoices("torch_dtype", "dtype"))  # of the checkpoint's weights
    num_hidden_layers: PositiveInt
    hidden_size: PositiveInt
    intermediate_size: int = 0
    num_attention_heads: PositiveInt
    num_key_value_heads: PositiveInt | None = None
    head_dim: PositiveInt | None = Field(None, validation_alias=AliasChoices("head_dim", "attention_head_dim"))
    vocab_size: PositiveInt
    max_position_embeddings: PositiveInt = 131072
    original_max_position_embeddings: PositiveInt | None = None
    model_max_length: PositiveInt | None = None
    rope_scaling: dict[str, Any] = {}
    rope_parameters: dict[str, Any] = {}
    is_causal: bool = True  # false: of an embedding model that reads in both directions
    use_bidirectional_attention: bool | str = False  # true: likewise; "vision": of pictures alone
    tie_word_embeddings: bool = False
    attn_output_gate: bool = Field(False, validation_alias=AliasChoices("attn_output_gate", "use_attn_output_gate"))
    hidden_size_per_layer_input: int = 0  # Gemma's embeddings for each layer
    use_double_wide_mlp: bool = False
    activation: str = Field("", validation_alias=AliasChoices("mlp_hidden_act", "hidden_act"))
    # sliding windows and mixed layers
    layer_types: list[str] | None = None
    layers_block_type: list[str] | None = None
    hybrid_override_pattern: str | None = None
    full_attention_interval: PositiveInt | None = None
    full_attn_idxs: list[int] | None = None
    sliding_window: PositiveInt | None = None
    sliding_window_pattern: PositiveInt | None = Field(
        None, validation_alias=AliasChoices("sliding_window_pattern", "layer_switch")
    )
    max_window_layers: int = 0
    use_sliding_window: bool = True
    num_kv_shared_layers: int = 0
    global_head_dim: PositiveInt | None = None  # Gemma 4: of the layers that see everything
    num_global_key_value_heads: PositiveInt | None = None
    attention_k_eq_v: bool = False
    # multi-head latent attention, and the index of sparse attention
    kv_lora_rank: PositiveInt | None = None
    q_lora_rank: PositiveInt | None = None
    qk_nope_head_dim: int = 0
    qk_rope_head_dim: int = 0
    v_head_dim: int = 0
    index_head_dim: int = 0
    index_n_heads: int = 0
    index_topk_freq: PositiveInt = 1
    index_skip_topk_offset: int = 2
    # layers with a state
    linear_num_key_heads: int = 0
    linear_num_value_heads: int = 0
    linear_key_head_dim: int = 0
    linear_value_head_dim: int = 0
    linear_conv_kernel_dim: int = 0
    mamba_ssm_dtype: FloatType = "auto"
    mamba_heads: int = known_as("mamba_num_heads", "mamba_n_heads")
    mamba_head_size: int = known_as("mamba_head_dim", "mamba_d_head")
    mamba_groups: int = known_as("n_groups", "mamba_n_groups")
    mamba_state_size: int = known_as("ssm_state_size", "mamba_d_state")
    mamba_kernel: int = known_as("conv_kernel", "mamba_d_conv")
    mamba_chunk: int = known_as("mamba_chunk_size", "chunk_size")
    mamba_ssm_cache_dtype: FloatType = "auto"
    linear_attn_config: KimiLayers | None = None
    convolution_size: int = known_as("conv_dim")
    convolution_kernel: int = known_as("conv_L_cache")
    # mixtures of experts
    experts: int = known_as("num_experts", "n_routed_experts", "num_local_experts")
    experts_per_token: int = known_as(
        "num_experts_per_tok", "experts_per_token", "top_k_experts", "num_experts_per_token"
    )
    moe_intermediate_size: int = 0
    moe_latent_size: int = 0
    n_shared_experts: int = known_as("n_shared_experts", "num_shared_experts")
    shared_size: int = known_as(
        "shared_expert_intermediate_size",
        "moe_shared_expert_intermediate_size",
        "shared_intermediate_size",
        "share_expert_dim",
    )
    first_k_dense_replace: int = 0
    moe_layer_freq: int | list[int] = 1
    decoder_sparse_step: PositiveInt = 1
    mlp_only_layers: list[int] = []
    mlp_layer_types: list[str] | None = None
    drafting_layers: int = known_as("mtp_num_hidden_layers", "num_nextn_predict_layers")
    listener: Listener | None = None
    quantization: Quantization = Field(default=Quantization(), validation_alias="quantization_config")
    vision_config: dict[str, Any] = {}
    audio_config: dict[str, Any] = {}

    @classmethod
    def from_config(cls, config: dict[str, Any], published_gib: float | None = None) -> "Model":
        """Return the model of a config.json. Raises ValidationError, and SizingError for what sizing does not know."""
        text = config.get("text_config") or {}
        tied = config.get("tie_word_embeddings") or text.get("tie_word_embeddings")  # the whole model's says it alone
        flat = {**config, **text, "tie_word_embeddings": tied, "published_gib": published_gib}
        flat |= {
            name: config[name] for name in ("torch_dtype", "dtype") if config.get(name)
        }  # the whole model's counts
        if isinstance(flat.get("sliding_window_pattern"), str) and flat.get("layer_types"):  # "LLLG", said twice
            del flat["sliding_window_pattern"]
        given = translated({name: value for name, value in flat.items() if value is not None})
        keys.check(given, keys.names_of(cls))
        if blocks := given.get("layers_block_type"):
            given.setdefault("num_hidden_layers", len(blocks))
        model = cls.model_validate(DEFAULTS.get(given.get("model_type", ""), {}) | given)
        model.check_layers()
        return model

    @property
    def written_kinds(self) -> list[str]:
        """The kind of each layer as config.json names it; empty when it names none."""
        return self.layers_block_type or list(self.hybrid_override_pattern or "") or self.layer_types or []

    @property
    def kinds(self) -> list[str]:
        """The kind of each layer."""
        numbers = range(self.num_hidden_layers)
        if self.model_type in TEXT_ENCODERS or not self.is_causal or self.use_bidirectional_attention is True:
            return [ENCODER for _ in numbers]
        if self.linear_attn_config:
            return [FULL if number + 1 in self.linear_attn_config.full_attn_layers else KIMI for number in numbers]
        if self.written_kinds:
            return [KINDS.get(kind, kind) for kind in self.written_kinds]
        if self.full_attn_idxs is not None:
            return [FULL if number in self.full_attn_idxs else CONVOLUTION for number in numbers]
        if every := self.full_attention_interval:
            return [DELTA if (number + 1) % every else FULL for number in numbers]
        if not self.sliding_window or not self.use_sliding_window:
            return [FULL for _ in numbers]
        every = self.sliding_window_pattern or self.num_hidden_layers + 1
        return [SLIDING if (n + 1) % every and n >= self.max_window_layers else FULL for n in numbers]

    @property
    def states(self) -> int:
        """The number of layers that keep a state."""
        return sum(kind in STATEFUL for kind in self.kinds)

    @property
    def kimi_layers(self) -> KimiLayers:
        """The layers of Kimi's delta attention. Raises SizingError when there are none."""
        if not self.linear_attn_config:
            raise SizingError("has layers of Kimi's delta attention, and no linear_attn_config")
        return self.linear_attn_config

    @property
    def expert_size(self) -> int:
        """The inner size of an expert."""
        return self.moe_intermediate_size or self.intermediate_size

    @property
    def vision_hidden_size(self) -> int:
        """The numbers of a patch in the vision tower. Qwen2-VL's `hidden_size` is what the tower hands on."""
        return int(self.vision_config.get("embed_dim") or self.vision_config.get("hidden_size") or 0)

    @property
    def vision_inner_size(self) -> int:
        """The inner size of the vision tower's feed-forward layers."""
        ratio = float(self.vision_config.get("mlp_ratio") or 4)
        return int(self.vision_config.get("intermediate_size") or ratio * self.vision_hidden_size)

    def heads(self, kind: str) -> tuple[int, int]:
        """Return how many KV heads a layer of that kind has, and their size."""
        heads = self.num_key_value_heads or self.num_attention_heads
        size = self.head_dim or self.hidden_size // self.num_attention_heads
        if kind == FULL:
            return self.num_global_key_value_heads or heads, self.global_head_dim or size
        return heads, size

    def has_index(self, number: int) -> bool:
        """Return whether the layer of that number has an index of its own (vLLM's deepseek_v2.py, `_skip_topk`)."""
        return (
            not max(number - self.index_skip_topk_offset + 1, 0) % self.index_topk_freq
            if self.index_head_dim
            else False
        )

    def check_layers(self) -> None:
        """Raise SizingError when layers are of an unknown kind, or their numbers contradict each other."""
        if unknown := sorted(set(self.kinds) - {*KINDS.values(), KIMI, ENCODER}):
            raise SizingError(f"has layers of {unknown[0]}, whose memory sizing does not know")
        missing = len(self.kinds) < self.num_hidden_layers or self.num_kv_shared_layers >= self.num_hidden_layers
        if missing:
            raise SizingError(f"layer_types or num_kv_shared_layers don't fit {self.num_hidden_layers} layers")
        if self.kv_lora_rank and self.model_type not in LATENT:
            raise SizingError(f"has kv_lora_rank, and vLLM keeps whole keys and values for {self.model_type}")
        if not all(self.heads(FULL)):
            raise SizingError(f"hidden_size {self.hidden_size} is too small for {self.num_attention_heads} heads")
        if not self.states and not self.written_kinds and (self.mamba_heads or self.linear_num_value_heads):
            raise SizingError("has sizes of states, and does not say which layers keep them")
        if not {FULL, SLIDING, ENCODER}.intersection(self.kinds):
            raise SizingError("has no layer with a KV cache, and sizing knows no other models")
