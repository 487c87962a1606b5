"""Models whose layers keep a state or an index, and how vLLM's own calculator is asked for their states."""

from __future__ import annotations

from typing import Any

DEEPSEEK: dict[str, Any] = {  # latent attention
    **{"model_type": "deepseek_v3", "num_hidden_layers": 61, "hidden_size": 7168, "num_attention_heads": 128},
    **{"vocab_size": 129280, "kv_lora_rank": 512, "q_lora_rank": 1536},
    **{"qk_rope_head_dim": 64, "qk_nope_head_dim": 128, "v_head_dim": 128},
}
GLM = DEEPSEEK | {"index_head_dim": 128, "index_n_heads": 32, "index_topk_freq": 4, "index_skip_topk_offset": 3}
SIZES = {"hidden_size": 4096, "intermediate_size": 12288, "num_attention_heads": 32, "vocab_size": 131072}
QWEN = SIZES | {
    **{"model_type": "qwen3_5_text", "num_hidden_layers": 64, "num_key_value_heads": 4, "head_dim": 256},
    **{"linear_num_key_heads": 16, "linear_num_value_heads": 48, "linear_key_head_dim": 128},
    **{"linear_value_head_dim": 128, "linear_conv_kernel_dim": 4, "mamba_ssm_dtype": "float32"},
}
NEMOTRON = SIZES | {
    **{"model_type": "nemotron_h", "num_hidden_layers": 52, "num_key_value_heads": 2, "head_dim": 128},
    **{"hybrid_override_pattern": "MEMEM*EMEMEM*EMEMEM*EMEMEM*EMEMEM*EMEMEMEM*EMEMEMEME", "n_routed_experts": 128},
    **{"mamba_num_heads": 64, "mamba_head_dim": 64, "n_groups": 8, "ssm_state_size": 128, "conv_kernel": 4},
    **{"chunk_size": 128, "num_experts_per_tok": 6, "moe_intermediate_size": 1856},
}
GRANITE = SIZES | {
    **{"model_type": "granitemoehybrid", "num_hidden_layers": 40, "num_key_value_heads": 8},
    "layer_types": ["mamba", "mamba", "mamba", "attention", *["mamba"] * 6] * 4,
    **{"mamba_n_heads": 128, "mamba_d_head": 64, "mamba_n_groups": 1, "mamba_d_state": 128, "mamba_d_conv": 4},
}
KIMI = SIZES | {
    **{"model_type": "kimi_linear", "num_hidden_layers": 27, "kv_lora_rank": 512, "qk_rope_head_dim": 64},
    **{"qk_nope_head_dim": 128, "v_head_dim": 128},
    "linear_attn_config": {
        **{"full_attn_layers": [4, 8, 12, 16, 20, 24, 27], "kda_layers": [], "head_dim": 128, "num_heads": 32},
        "short_conv_kernel_size": 4,
    },
}
LIQUID = SIZES | {
    **{
        "model_type": "lfm2",
        "num_hidden_layers": 16,
        "num_key_value_heads": 8,
        "full_attn_idxs": [2, 5, 8, 10, 12, 14],
    },
    **{"conv_dim": 4096, "conv_L_cache": 3},
}


def states(calculator: str, layers: int, recurrence: str, chunk: int = 2048, **arguments: int) -> dict[str, Any]:
    """A question for vLLM's calculator; tp_world_size and num_spec come from the flags."""
    types = ["bfloat16", recurrence] if recurrence else ["bfloat16"]
    return {"calculator": calculator, "layers": layers, "types": types, "chunk": chunk, "arguments": arguments}


DELTA = {"num_k_heads": 16, "num_v_heads": 48, "head_k_dim": 128, "head_v_dim": 128, "conv_kernel_size": 4}
MAMBA = {"head_dim": 64, "state_size": 128, "conv_kernel": 4}
HYBRID = {
    "gated delta-net": (QWEN, states("gated_delta_net_state_shape", 48, "float32", **DELTA)),
    "gated delta-net, bf16 states": (
        QWEN | {"model_type": "qwen3_next"},
        states("gated_delta_net_state_shape", 48, "bfloat16", **DELTA),
    ),
    "Mamba2, Nemotron": (
        NEMOTRON,
        states("mamba2_state_shape", 23, "float32", 128, intermediate_size=4096, n_groups=8, num_heads=64, **MAMBA),
    ),
    "Mamba2, Granite": (
        GRANITE,
        states("mamba2_state_shape", 36, "bfloat16", intermediate_size=8192, n_groups=1, num_heads=128, **MAMBA),
    ),
    "Kimi's delta attention": (
        KIMI,
        states("kda_state_shape", 20, "float32", num_heads=32, head_dim=128, conv_kernel_size=4),
    ),
    "short convolutions": (LIQUID, states("short_conv_state_shape", 10, "", intermediate_size=4096, conv_kernel=3)),
}
