"""How many parameters a model's linear layers have, counted from its numbers, without norms and biases."""

from collections.abc import Callable
from typing import NamedTuple

from capacity.encoders import SPEECH, TEXT_ENCODERS
from capacity.kinds import CONVOLUTION, DELTA, ENCODER, EXPERTS, FEED_FORWARD, FULL, KIMI, MAMBA, SLIDING
from capacity.model import Model

# whose feed-forward layers have two matrices, not three
NOT_GATED = {"starcoder2", "phi", "apertus", SPEECH, *TEXT_ENCODERS}


class Part(NamedTuple):
    """Linear layers of one kind, in all layers of the model that have them."""

    module: str  # its name in a checkpoint
    layers: list[int]
    parameters: int  # of one layer

    @property
    def total(self) -> int:
        """The parameters in all layers."""
        return len(self.layers) * self.parameters


def linear_parts(model: Model) -> list[Part]:
    """Return the linear layers of each kind, without embeddings and lm_head."""
    mixers: dict[str, tuple[str, Callable[[Model], int]]] = {
        FULL: ("self_attn", lambda model: attention(model, FULL)),
        SLIDING: ("self_attn", lambda model: attention(model, SLIDING)),
        ENCODER: ("attention", lambda model: attention(model, ENCODER)),
        DELTA: ("linear_attn", _delta),
        MAMBA: ("mixer|mamba", _mamba),
        KIMI: ("self_attn", _kimi),
        CONVOLUTION: ("conv", _convolution),
    }
    found = []
    for kind, (module, parameters) in mixers.items():
        if layers := [number for number, of_layer in enumerate(model.kinds) if of_layer == kind]:
            found.append(Part(module, layers, parameters(model)))
    indices = [number for number in range(model.num_hidden_layers) if model.has_index(number)]
    return [*found, *_listening(model), Part("indexer", indices, _index(model)), *feed_forward(model)]


def _listening(model: Model) -> list[Part]:
    """Return the encoder of a model of speech, and the second attention of the layers that write."""
    if not model.listener:
        return []
    writing, hearing = (list(range(count)) for count in (model.num_hidden_layers, model.listener.encoder_layers))
    return [
        Part("encoder_attn", writing, attention(model, FULL)),
        Part("encoder", hearing, model.listener.layer(model.hidden_size)),
    ]


def attention(model: Model, kind: str) -> int:
    """Return the parameters of the attention in a layer of that kind."""
    hidden, heads, rope = model.hidden_size, model.num_attention_heads, model.qk_rope_head_dim
    if model.kv_lora_rank:
        query, lora = heads * (model.qk_nope_head_dim + rope), model.q_lora_rank
        queries = lora * (hidden + query) if lora else hidden * query
        unfolded = model.kv_lora_rank * heads * (model.qk_nope_head_dim + model.v_head_dim)
        latent = hidden * (model.kv_lora_rank + rope) + unfolded
        return queries + latent + heads * model.v_head_dim * hidden
    kv_heads, size = model.heads(kind)
    keys_and_values = 1 if model.attention_k_eq_v and kind == FULL else 2
    queries_and_output = 2 + model.attn_output_gate  # the gate is as large as the queries
    return hidden * size * (queries_and_output * heads + keys_and_values * kv_heads)


def _index(model: Model) -> int:
    queries = (model.q_lora_rank or model.hidden_size) * model.index_n_heads * model.index_head_dim
    return queries + model.hidden_size * (model.index_head_dim + model.index_n_heads)


def _delta(model: Model) -> int:
    """Gated delta-net: queries, keys, values and their gate, two numbers a head, a convolution, the output."""
    keys = model.linear_key_head_dim * model.linear_num_key_heads
    values = model.linear_value_head_dim * model.linear_num_value_heads
    projected = 2 * keys + 2 * values + 2 * model.linear_num_value_heads
    return model.hidden_size * (projected + values) + (2 * keys + values) * model.linear_conv_kernel_dim


def _mamba(model: Model) -> int:
    inner, groups = model.mamba_heads * model.mamba_head_size, model.mamba_groups * model.mamba_state_size
    projected = 2 * inner + 2 * groups + model.mamba_heads
    return model.hidden_size * (projected + inner) + (inner + 2 * groups) * model.mamba_kernel


def _kimi(model: Model) -> int:
    """Kimi's delta attention: queries, keys, values, output, and two gates of low rank."""
    layers = model.kimi_layers
    inner = layers.num_heads * layers.head_dim
    gates = 2 * layers.head_dim * (model.hidden_size + inner) + model.hidden_size * layers.num_heads
    return 4 * model.hidden_size * inner + gates + 3 * inner * layers.short_conv_kernel_size


def _convolution(model: Model) -> int:
    size = model.convolution_size or model.hidden_size
    return 4 * model.hidden_size * size


def feed_forward(model: Model) -> list[Part]:
    """Return experts, shared experts and dense layers. Gemma 4 has a dense layer beside the experts everywhere."""
    matrices = 2 if model.activation == "relu2" or model.model_type in NOT_GATED else 3
    expert = matrices * (model.moe_latent_size or model.hidden_size) * model.expert_size
    latent = 2 * model.hidden_size * model.moe_latent_size
    shared = model.shared_size or model.n_shared_experts * model.expert_size
    sparse, dense = _sparse_layers(model), matrices * model.hidden_size * model.intermediate_size
    return [
        Part("experts", sparse, model.experts * expert + latent + model.hidden_size * model.experts),
        Part("shared_experts?", sparse, matrices * model.hidden_size * shared),
        Part("mlp", _dense_layers(model, sparse), dense),
    ]


def _sparse_layers(model: Model) -> list[int]:
    """Return the numbers of the layers that have experts."""
    numbers = list(range(model.num_hidden_layers))
    if not model.experts:
        return []
    if EXPERTS in model.kinds:
        return [number for number in numbers if model.kinds[number] == EXPERTS]
    if model.mlp_layer_types:
        return [number for number in numbers if model.mlp_layer_types[number] == "sparse"]
    if isinstance(model.moe_layer_freq, list):
        return [number for number in numbers if model.moe_layer_freq[number]]
    steps = [number for number in numbers if (number + 1) % model.decoder_sparse_step == 0]
    steps = [number for number in steps if number % model.moe_layer_freq == 0]
    return [number for number in steps if number >= model.first_k_dense_replace and number not in model.mlp_only_layers]


def _dense_layers(model: Model, sparse: list[int]) -> list[int]:
    numbers = range(model.num_hidden_layers)
    if {EXPERTS, FEED_FORWARD} & set(model.kinds):
        return [number for number in numbers if model.kinds[number] == FEED_FORWARD]
    if model.model_type.startswith("gemma4"):
        return list(numbers)
    return [number for number in numbers if number not in sparse]
