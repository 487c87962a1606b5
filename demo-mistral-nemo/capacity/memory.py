"""Computes the KV cache of a model on a GPU: its size, its tokens, and how many requests of full length it holds.

vLLM takes `utilization` of the GPU's memory, loads the weights and runs the largest batch once to see the peak. The
rest is for the KV cache (vllm/v1/worker/gpu_worker.py, determine_available_memory), in blocks of 16 tokens that groups
of layers share (vllm/v1/core/kv_cache_utils.py). Sizes are in GiB and for one GPU, as in vLLM's log.
"""

from collections import Counter
from dataclasses import dataclass
from math import ceil, log2

from capacity.errors import SizingError
from capacity.flags import Flags
from capacity.model import GIB, Layer, Model

BLOCK_TOKENS = 16
LARGE_GPU_GIB = 70.0  # from here on, except on an A100, vLLM's defaults are those for an H100 (EngineArgs)


@dataclass(frozen=True)
class Fit:
    """How a service fits a machine. Sizes are in GiB and for one GPU."""

    weights_gib: float
    overhead_gib: float  # activations, logits, CUDA graphs, context, NCCL
    kv_cache_gib: float  # 0 when nothing is left
    kv_cache_tokens: int
    max_model_len: int  # tokens of one request
    max_concurrency: float  # requests of that length that the KV cache holds
    max_num_seqs: int
    fits: bool  # vLLM starts: one request of full length finds room

    @property
    def requests(self) -> int:
        """The number of concurrent requests of full length that are answered. More requests wait."""
        return min(int(self.max_concurrency), self.max_num_seqs) if self.fits else 0


def size(model: Model, flags: Flags, gpu_memory_gib: float, gpus: int = 1, gpu: str = "") -> Fit:
    """Return how `model` fits a machine of `gpus` GPUs with `gpu_memory_gib` each, as torch sees it (cards.py).

    `gpu` is a card's name, which matters only for A100s. Raises SizingError for a checkpoint in an unknown format, and
    for a tensor-parallel size that does not divide the heads, which vLLM refuses.
    """
    parallel = flags.tensor_parallel
    if model.num_attention_heads % parallel:
        problem = f"{model.num_attention_heads} attention heads can't be spread over {parallel} GPUs"
        raise SizingError(problem, "choose a tensor-parallel size that divides them")
    large = gpu_memory_gib >= LARGE_GPU_GIB and not gpu.startswith("A100")
    batched = flags.max_num_batched_tokens or (8192 if large else 2048)
    seqs = flags.max_num_seqs or (1024 if large else 256)
    weights = model.weights_gib(flags.quantization) / parallel
    overhead = overhead_gib(model, batched, seqs, parallel, large=large)
    kv_cache = max(0.0, flags.utilization * gpu_memory_gib - weights - overhead)
    kv_scheme = model.quantization_config.get("kv_cache_scheme")  # a checkpoint with scales for an fp8 KV cache
    small = flags.kv_cache_dtype.startswith("fp8") or (flags.kv_cache_dtype == "auto" and kv_scheme)
    pool = KVCache(model.layers(1 if small else 2, parallel), kv_cache, batched)
    length = flags.max_model_len or model.max_position_embeddings
    if isinstance(length, str):
        length = pool.longest(model.max_position_embeddings)
    concurrency = pool.concurrency(length)
    fits = concurrency >= 1 and parallel <= gpus
    return Fit(weights, overhead, kv_cache, pool.tokens, length, concurrency, seqs, fits)


def smallest_parallel(model: Model, flags: Flags, gpu_memory_gib: float, gpu: str = "") -> int | None:
    """Return how many such GPUs the model takes. None: more than eight, the most that a machine has."""
    for gpus in (1, 2, 4, 8):
        if model.num_attention_heads % gpus == 0:
            spread = flags.model_copy(update={"tensor_parallel": gpus})
            if size(model, spread, gpu_memory_gib, gpus, gpu).fits:
                return gpus
    return None


def overhead_gib(model: Model, batched: int, seqs: int, tensor_parallel: int, *, large: bool) -> float:
    """Return the GiB that vLLM needs beside weights and KV cache: the larger of two generations' reports.

    The peak is the feed-forward layer of the largest batch, or the sampler, which holds several copies of the logits
    (a float for each sequence and word of the vocabulary).

    - vLLM up to 0.18: 9.7 copies, as the sampler sorted; beside that 0.14 GiB, 0.55 with two GPUs
      (github.com/llm-d/llm-d-benchmark, config_explorer/empirical-vllm-memory-results.md).
    - From 0.19 on: 3.9 copies; the experts' workspace stays; 0.25 GiB beside that, with NVLink 2.1 for NCCL
      (github.com/llm-d-incubation/llm-d-planner, docs/accuracy/vllm-v0.19.0-accuracy-report.md); CUDA graphs count too,
      0.95 GiB in start-up logs of 0.28.

    The first still wins where many sequences meet a large vocabulary, and there this is up to 2 GiB too careful.
    """
    logits = seqs * model.vocab_size * 4 / GIB
    hidden, inner = model.hidden_size, max(model.intermediate_size, model.expert_size)
    layer = batched * (3 * inner // tensor_parallel + 4 * hidden) * 2 / GIB
    experts = batched * model.experts_per_token * (hidden + model.expert_size) * 2 / GIB if model.experts else 0.0
    nccl = 1.85 if large and tensor_parallel > 1 else 0.0
    before = max(layer, 9.7 * logits) + 0.14 + 0.4 * log2(tensor_parallel)
    since = max(layer, 3.9 * logits) + experts + 1.2 + nccl
    return max(before, since)


class KVCache:
    """The blocks of memory that all layers share, as vLLM makes them.

    Equal layers form groups of one size, padded when they don't divide evenly. A block belongs to one group at a time.
    Layers that keep fewer bytes a token get blocks of more tokens, so that all blocks have one size
    (kv_cache_utils.py: _get_kv_cache_groups_uniform_page_size, unify_kv_cache_spec_page_size).
    """

    def __init__(self, layers: Counter[Layer], gib: float, batched: int) -> None:
        windows = {layer.window for layer in layers}
        if len(windows) == 1:  # one group, whatever its layers' sizes
            layers = Counter({Layer(sum(layer.token_bytes * n for layer, n in layers.items()), windows.pop()): 1})
        fewest, most = min(layers.values()), max(layers.values())
        together = most if most < 1.5 * fewest else fewest
        largest = max(layer.token_bytes for layer in layers)
        self._batched = batched
        self._groups = [  # how many, tokens a block, window
            (ceil(count / together), BLOCK_TOKENS * largest // layer.token_bytes, layer.window)
            for layer, count in layers.items()
        ]
        self.blocks = int(gib * GIB / (together * largest * BLOCK_TOKENS))

    @property
    def tokens(self) -> int:
        """vLLM's "GPU KV cache size" in tokens, as if every group kept every token."""
        return self.blocks // sum(count for count, _, _ in self._groups) * BLOCK_TOKENS

    def concurrency(self, length: int) -> float:
        """Return vLLM's "Maximum concurrency" for `length` tokens. A window also keeps the tokens of a batch."""
        needed = 0
        for count, block, window in self._groups:
            kept = length if window is None else min(window - 1 + self._batched, length)
            needed += count * (ceil(kept / block) + (window is not None))
        return self.blocks / needed

    def longest(self, limit: int) -> int:
        """Return the tokens of the longest request that fits, as with `--max-model-len auto`; 1 when none fits."""
        low, high = 1, limit
        while low < high:
            middle = (low + high + 1) // 2
            low, high = (middle, high) if self.concurrency(middle) >= 1 else (low, middle - 1)
        return low
