"""What attention layers keep in the KV cache for each token."""

from collections import Counter
from typing import NamedTuple

from capacity.kinds import FULL, SLIDING
from capacity.model import Model

INDEX_SCALE = 4 / 128  # a scale of four bytes for each 128 numbers of an index (vLLM's DeepseekV32IndexerCache)
PACKED_LATENT = 656  # bytes of a token, of 512 numbers and 64 for the position, with scales (flashmla_sparse.py)


class Layer(NamedTuple):
    """What the KV cache of a layer keeps."""

    token_bytes: int  # that it keeps for each token, on one GPU
    window: int | None  # of how many of the last tokens; None: of all
    heard: int | None = None  # positions of a recording, which it keeps instead of tokens


def layers(model: Model, element_bytes: int, tensor_parallel: int, drafting: int = 0) -> Counter[Layer]:
    """Return the number of layers by what they keep. `drafting`: layers that draft, beside the model's own.

    Grouped-query attention keeps a key and a value for each KV head, and tensor parallelism spreads the heads, but
    never less than one to a GPU. Latent attention keeps one compressed vector, whole on every GPU (vLLM's
    FullAttentionSpec and MLAAttentionSpec). Sparse attention keeps an index beside it, in one byte a number.
    """
    found: Counter[Layer] = Counter()
    if model.listener:
        kept = _token_bytes(model, FULL, element_bytes, tensor_parallel)
        found[Layer(kept, None, model.listener.max_source_positions)] += model.num_hidden_layers
    kinds = model.kinds[: model.num_hidden_layers - model.num_kv_shared_layers] + [FULL] * drafting
    for number, kind in enumerate(kinds):
        if kind not in (FULL, SLIDING):
            continue
        window = model.sliding_window if kind == SLIDING else None
        found[Layer(_token_bytes(model, kind, element_bytes, tensor_parallel), window)] += 1
        if model.has_index(number) or (model.index_head_dim and number >= model.num_hidden_layers):
            found[Layer(int(model.index_head_dim * (1 + INDEX_SCALE)), None)] += 1
    return found


def _token_bytes(model: Model, kind: str, element_bytes: int, tensor_parallel: int) -> int:
    if model.kv_lora_rank:
        if model.index_head_dim and element_bytes == 1:
            return PACKED_LATENT
        return (model.kv_lora_rank + model.qk_rope_head_dim) * element_bytes
    heads, size = model.heads(kind)
    return 2 * max(1, heads // tensor_parallel) * size * element_bytes
