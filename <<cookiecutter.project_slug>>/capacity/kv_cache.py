"""The blocks of the KV cache, and how many requests they hold (vLLM's v1/core/kv_cache_utils.py)."""

from collections import Counter
from dataclasses import dataclass
from math import ceil

from capacity.attention import Layer
from capacity.model import GIB
from capacity.states import States

BLOCK_TOKENS = 16


@dataclass(frozen=True)
class _Group:
    """Groups of equal layers, each of which has blocks of its own."""

    count: int
    block: int  # tokens
    window: int | None = None
    states: States | None = None
    heard: int | None = None  # positions of a recording

    def needed(self, length: int, in_flight: int, heard: int = 0) -> int:
        """Return the blocks of a request of `length` tokens. `heard`: positions of the recording, if not the usual."""
        if self.states:
            return self.count * self.states.needed(length, self.block)
        if self.heard:
            return self.count * ceil((heard or self.heard) / self.block)
        if self.window is None:
            return self.count * ceil(length / self.block)
        kept = min(self.window - 1 + in_flight, length)  # SlidingWindowSpec.max_admission_blocks_per_request
        return self.count * (ceil(kept / self.block) + 1)


class KVCache:
    """The blocks of memory that all layers share, as vLLM makes them.

    Equal layers form groups of one size, padded when they don't divide evenly. A block belongs to one group at a time.
    Layers that keep fewer bytes a token get blocks of more tokens, or are padded, so that all blocks have one size
    (_get_kv_cache_groups_uniform_page_size, unify_kv_cache_spec_page_size). A state is padded to a block, too.
    `in_flight`: tokens of the batches at work, which a window keeps (VllmConfig.max_in_flight_tokens). `grain`: tokens
    of the smallest block. `batch`: tokens of one batch, for which vLLM keeps a recording's room when it starts
    (CrossAttentionSpec.max_memory_usage_bytes); a request then takes the room of its own recording.
    """

    def __init__(
        self,
        layers: Counter[Layer],
        gib: float,
        in_flight: int,
        states: States | None = None,
        grain: int = BLOCK_TOKENS,
        batch: int = 0,
    ) -> None:
        kept = {(layer.window, layer.heard) for layer in layers}
        if len(kept) == 1 and not states:  # one group, whatever its layers' sizes
            layers = Counter({Layer(sum(layer.token_bytes * n for layer, n in layers.items()), *kept.pop()): 1})
        largest = max(layer.token_bytes for layer in layers)
        self.block = max(grain, states.block(grain, largest) if states else 0)
        counts = [*layers.values(), *([states.layers] if states else [])]
        fewest, most = min(counts), max(counts)
        together = most if most < 1.5 * fewest else fewest
        self.groups = [
            _Group(
                ceil(count / together), _block(self.block, layer.token_bytes, largest), layer.window, heard=layer.heard
            )
            for layer, count in layers.items()
        ]
        if states:
            self.groups.append(_Group(ceil(states.layers / together), self.block, states=states))
        self.blocks = int(gib * GIB) // (together * largest * self.block)
        self._in_flight, self._batch = in_flight, batch

    def needed(self, length: int) -> int:
        """Return the blocks that a request of `length` tokens takes."""
        return sum(group.needed(length, self._in_flight) for group in self.groups)

    def concurrency(self, length: int) -> float:
        """Return vLLM's "Maximum concurrency" for `length` tokens."""
        return self.blocks / self.needed(length)

    def tokens(self, length: int) -> int:
        """Return vLLM's "GPU KV cache size" in tokens: those of the requests of `length` tokens that it holds."""
        return int(self.concurrency(length) * length)

    def holds(self, length: int) -> bool:
        """Return whether a request of `length` tokens fits. One block is never given away (get_kv_cache_configs)."""
        needed = sum(group.needed(length, self._in_flight, self._batch) for group in self.groups)
        return needed <= self.blocks - 1

    def longest(self, limit: int) -> int:
        """Return the tokens of the longest request that fits, as with `--max-model-len auto`; 1 when none fits."""
        low, high = 1, limit
        while low < high:
            middle = (low + high + 1) // 2
            low, high = (middle, high) if self.holds(middle) else (low, middle - 1)
        return low


def _block(block: int, token_bytes: int, largest: int) -> int:
    """Return the tokens of a layer's block: more for a layer that keeps less, unless its blocks have to be padded."""
    return block * largest // token_bytes if largest % token_bytes == 0 else block
