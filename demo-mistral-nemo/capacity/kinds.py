"""The kinds of layers, and what config.json leaves to the code of transformers."""

from typing import Any

FULL, SLIDING = "full_attention", "sliding_attention"  # of layers that keep a key and a value for each token
DELTA, MAMBA, KIMI, CONVOLUTION = "linear_attention", "mamba", "kimi_delta_attention", "conv"  # that keep a state
EXPERTS, FEED_FORWARD, ENCODER = "moe", "mlp", "encoder"  # of layers that keep nothing
STATEFUL = {DELTA, MAMBA, KIMI, CONVOLUTION}
KINDS = {
    **{kind: kind for kind in (FULL, SLIDING, DELTA, MAMBA, CONVOLUTION, EXPERTS, FEED_FORWARD)},
    **{"attention": FULL, "chunked_attention": FULL},  # vLLM lets chunked attention keep every token
    **{"M": MAMBA, "*": FULL, "E": EXPERTS, "-": FEED_FORWARD},  # the letters of `hybrid_override_pattern`
}
# what config.json leaves to the code of transformers; every n-th layer (`sliding_window_pattern`) sees everything
TIED = ("gemma", "cohere", "cohere2", "smollm3", "starcoder2", "minicpm3")  # unless config.json says otherwise
DEFAULTS: dict[str, dict[str, Any]] = {
    **{kind: {"tie_word_embeddings": True} for kind in TIED},
    "gemma2": {"sliding_window_pattern": 2, "tie_word_embeddings": True},
    "gemma3_text": {"sliding_window_pattern": 6, "tie_word_embeddings": True, "vocab_size": 262208, "head_dim": 256}
    | {"num_attention_heads": 8, "num_key_value_heads": 4},
    "gemma4_text": {"sliding_window_pattern": 6, "tie_word_embeddings": True},
    "qwen3_next": {"full_attention_interval": 4, "attn_output_gate": True},
    "qwen3_5_text": {"full_attention_interval": 4, "attn_output_gate": True},
    "qwen3_5_moe_text": {"full_attention_interval": 4, "attn_output_gate": True},
    "muse_glimmer_text": {"attn_output_gate": True},
    "nemotron_h": {"mamba_ssm_cache_dtype": "float32"},
}
# whose attention vLLM compresses (ModelArchConfigConvertorBase.is_deepseek_mla; it reads mistral4 as deepseek_v3)
LATENT = {"", "axk1", "deepseek_v2", "deepseek_v3", "deepseek_v32", "deepseek_mtp", "glm_moe_dsa", "glm4_moe_lite"}
LATENT |= {"glm4_moe_lite_mtp", "kimi_k2", "kimi_linear", "longcat_flash", "pangu_ultra_moe", "bailing_hybrid"}
LATENT |= {"mistral4", ""}  # "": a config.json that names no type
