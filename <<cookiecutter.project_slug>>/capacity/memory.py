"""Computes the KV cache of a model on a GPU: its size, its tokens, and how many requests of full length it holds.

vLLM takes `utilization` of the GPU's memory, loads the weights and runs the largest batch once to see the peak. The
rest is for the KV cache (vllm/v1/worker/gpu_worker.py, determine_available_memory), see kv_cache.py. Sizes are in GiB
and for one GPU, as in vLLM's log.
"""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from math import log2
from typing import Any

from capacity.attention import layers
from capacity.drafts import drafter_gib, drafting_layers
from capacity.errors import SizingError
from capacity.flags import Flags
from capacity.keys import names_of
from capacity.kinds import ENCODER
from capacity.kv_cache import BLOCK_TOKENS, KVCache
from capacity.length import length
from capacity.model import GIB, Model
from capacity.states import states
from capacity.weights import weights_gib

# vLLM's defaults by the GPU's memory (EngineArgs.get_batch_defaults): from so many GiB on, tokens and sequences
BATCHES = {160.0: (16384, 1024), 70.0: (8192, 1024), 0.0: (2048, 256)}
LATENT_GRAIN = 128  # tokens, of models that have latent attention and states (Platform._align_hybrid_block_size)
INDEX_GRAIN = 64  # tokens, of models with an index (flashmla_sparse.py)

PICTURE_TOKENS = 16384


@dataclass(frozen=True)
class Fit:
    """How a service fits a machine. Sizes are in GiB and for one GPU."""

    weights_gib: float
    overhead_gib: float  # activations, logits, CUDA graphs, context, NCCL
    kv_cache_gib: float  # 0 when nothing is left
    kv_cache_blocks: int
    kv_cache_tokens: int
    max_model_len: int  # tokens of one request
    max_concurrency: float  # requests of that length that the KV cache holds
    max_num_seqs: int
    fits: bool  # vLLM starts: one request of full length finds room
    too_many_seqs: bool = False  # vLLM does not start: a model with states needs a block for each sequence

    @property
    def requests(self) -> int:
        """The number of concurrent requests of full length that are answered. More requests wait."""
        return min(int(self.max_concurrency), self.max_num_seqs) if self.fits else 0

    @property
    def sequences_problem(self) -> str:
        """Why vLLM does not start with so many sequences; "" when it does."""
        blocks = f"{self.max_num_seqs:,} is more than the {self.kv_cache_blocks:,} blocks of the KV cache"
        return f"--max-num-seqs {blocks}, and each sequence needs one" if self.too_many_seqs else ""


def size(model: Model, flags: Flags, gpu_memory_gib: float, gpus: int = 1, gpu: str = "") -> Fit:
    """Return how `model` fits a machine of `gpus` GPUs with `gpu_memory_gib` each, as torch sees it (cards.py).

    `gpu` is a card's name, which matters only for A100s. Raises SizingError for a checkpoint in an unknown format, and
    for a tensor-parallel size that does not divide the heads, which vLLM refuses.
    """
    parallel = flags.tensor_parallel
    if model.num_attention_heads % parallel:
        problem = f"{model.num_attention_heads} attention heads can't be spread over {parallel} GPUs"
        raise SizingError(problem, "choose a tensor-parallel size that divides them")
    default_batch, default_seqs = _batch(gpu_memory_gib, gpu)
    seqs, longest = flags.max_num_seqs or default_seqs, length(model, flags)
    batched = _batched(model, flags, default_batch, seqs, longest)
    _refuse_overrides(flags.hf_overrides)
    drafting, pictures = drafting_layers(model, flags), not flags.language_model_only
    weights = weights_gib(model, flags.quantization, drafting=drafting, pictures=pictures, head=_samples(model, flags))
    weights = (weights + drafter_gib(model, flags)) / parallel
    large = default_batch > BATCHES[0.0][0]
    overhead = overhead_gib(model, flags, batched, seqs, large=large)
    kv_gib = max(0.0, flags.utilization * gpu_memory_gib - weights - overhead)
    room = parallel <= gpus
    if flags.kv_cache_memory_bytes:  # vLLM then looks at no utilization
        kv_gib = flags.kv_cache_memory_bytes / GIB
        room = room and weights + overhead + kv_gib <= gpu_memory_gib
    if ENCODER in model.kinds:  # for which vLLM makes no KV cache: the requests of a batch are read together
        return Fit(weights, overhead, 0.0, 0, 0, longest, batched / longest, seqs, room and kv_gib > 0)
    cache = kv_cache(model, flags, kv_gib, batched)
    if isinstance(flags.max_model_len, str):
        longest = cache.longest(longest)
    too_many = bool(model.states) and not flags.enforce_eager and seqs > cache.blocks
    fits = cache.holds(longest) and room and not too_many
    numbers = (cache.blocks, cache.tokens(longest), longest, cache.concurrency(longest), seqs)
    return Fit(weights, overhead, kv_gib, *numbers, fits, too_many)


def kv_cache(model: Model, flags: Flags, gib: float, batched: int) -> KVCache:
    """Return the KV cache that vLLM makes in `gib` GiB of a GPU. `batched`: tokens of a batch."""
    small = flags.has_small_cache or (flags.kv_cache_dtype == "auto" and model.quantization.kv_cache_is_small)
    kept = layers(model, 1 if small else 2, flags.tensor_parallel, drafting_layers(model, flags))
    of_states = states(model, flags)
    grain = flags.block_size or (INDEX_GRAIN if model.index_head_dim else BLOCK_TOKENS)
    if of_states and model.kv_lora_rank:
        grain = max(grain, LATENT_GRAIN)
    return KVCache(kept, gib, batched * flags.batches_at_work, of_states, grain, batched)


def _batched(model: Model, flags: Flags, default: int, seqs: int, longest: int) -> int:
    """Return the tokens of a batch: the flag's, or vLLM's default. `longest`: tokens of a request of full length.

    A prompt that is never cut has to fit into one batch (_set_default_max_num_seqs_and_batched_tokens_args of vLLM's
    EngineArgs). Raises SizingError for a batch with which vLLM does not start (SchedulerConfig.verify_max_model_len).
    """
    never_cut = ENCODER in model.kinds or model.listener or not flags.enable_chunked_prefill
    if not (batched := flags.max_num_batched_tokens):
        return min(seqs * longest, max(default, longest) if never_cut else default)
    if batched < seqs:
        raise SizingError(f"--max-num-batched-tokens {batched} is less than the {seqs} sequences of --max-num-seqs")
    if never_cut and batched < longest:
        raise SizingError(f"--max-num-batched-tokens {batched} is less than a request of {longest} tokens, never cut")
    return batched


def _refuse_overrides(overrides: Mapping[str, Any]) -> None:
    """Raise SizingError for `--hf-overrides` with a key that sizing reads, also one of a part such as text_config."""
    parts = [overrides, *(part for part in overrides.values() if isinstance(part, dict))]
    if changed := [key for part in parts for key in part if key in names_of(Model)]:
        raise SizingError(f"sizing does not know what --hf-overrides with {changed[0]} changes", "give --config a copy")


def _samples(model: Model, flags: Flags) -> bool:
    """Return whether the engine writes words, with a lm_head and a sampler. Otherwise it makes vectors or scores."""
    return ENCODER not in model.kinds and not flags.pools


def _batch(gpu_memory_gib: float, gpu: str) -> tuple[int, int]:
    """Return vLLM's defaults for the tokens of a batch and for the sequences. An A100 has those of a small GPU."""
    gib = 0.0 if gpu.startswith("A100") else gpu_memory_gib
    return next(defaults for least, defaults in BATCHES.items() if gib >= least)


def smallest_parallel(model: Model, flags: Flags, gpu_memory_gib: float, gpu: str = "") -> int | None:
    """Return how many such GPUs the model takes. None: more than eight, the most that a machine has."""
    for gpus in (1, 2, 4, 8):
        spread = flags.model_copy(update={"tensor_parallel": gpus})
        with suppress(SizingError):  # heads or states that can't be spread over so many
            if size(model, spread, gpu_memory_gib, gpus, gpu).fits:
                return gpus
    return None


def overhead_gib(model: Model, flags: Flags, batched: int, seqs: int, *, large: bool) -> float:
    """Return the GiB that vLLM needs beside weights and KV cache: the larger of two generations' reports.

    The peak is the feed-forward layer of the largest batch, or the sampler, which holds several copies of the logits
    (a float for each sequence and word of the vocabulary), or the vision tower (picture_gib).

    - vLLM up to 0.18: 9.7 copies, as the sampler sorted; beside that 0.14 GiB, 0.55 with two GPUs
      (github.com/llm-d/llm-d-benchmark, config_explorer/empirical-vllm-memory-results.md).
    - From 0.19 on: 3.9 copies; the experts' workspace stays; 0.25 GiB beside that, with NVLink 2.1 for NCCL
      (github.com/llm-d-incubation/llm-d-planner, docs/accuracy/vllm-v0.19.0-accuracy-report.md); CUDA graphs count too,
      0.95 GiB in start-up logs of 0.28.

    The first still wins where many sequences meet a large vocabulary, and there this is up to 2 GiB too careful. It
    does not count for models with states, which nobody serves with a version so old.
    """
    parallel, logits = flags.tensor_parallel, _samples(model, flags) * seqs * model.vocab_size * 4 / GIB
    batched = max(batched, model.listener.max_source_positions if model.listener else 0)
    hidden, inner = model.hidden_size, max(model.intermediate_size, model.expert_size)
    layer = batched * (3 * inner // parallel + 4 * hidden) * 2 / GIB
    experts = batched * model.experts_per_token * (hidden + model.expert_size) * 2 / GIB if model.experts else 0.0
    nccl = 1.85 if large and parallel > 1 else 0.0
    graphs = 0.0 if flags.enforce_eager else 0.95
    picture = 0.0 if flags.language_model_only else picture_gib(model, parallel)
    before = 0.0 if model.states else max(layer, 9.7 * logits) + 0.14 + 0.4 * log2(parallel)
    since = max(layer, 3.9 * logits, picture) + experts + 0.25 + graphs + nccl
    return max(before, since)


def picture_gib(model: Model, tensor_parallel: int) -> float:
    """Return the GiB of the vision tower's activations for the largest picture, with which vLLM tries Qwen's models.

    Their processor makes up to 16,384 tokens of a picture, each of 2 x 2 patches. The feed-forward layer of the tower
    holds two vectors of each patch, and the inner one before, in and after its activation.
    """
    vision = model.vision_config
    if not str(vision.get("model_type", "")).startswith("qwen"):
        return 0.0
    patches = PICTURE_TOKENS * int(vision.get("spatial_merge_size") or 2) ** 2
    hidden, inner = model.vision_hidden_size, model.vision_inner_size
    return patches * (2 * hidden + 3 * inner // tensor_parallel) * 2 / GIB
