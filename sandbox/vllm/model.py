"""A model of Mistral Nemo's architecture that says nothing sensible: random weights, and Nemo's real tokenizer.

`python model.py FOLDER` writes it there, in the way Hugging Face has models; run by the interpreter of vLLM's own
environment, which has torch and, in mistral-common, the tokenizer. 34 MB of weights, most of them for the vocabulary.
"""

from __future__ import annotations

import base64
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import mistral_common
import torch
from safetensors.torch import save_file

CONFIG: dict[str, Any] = {
    "architectures": ["MistralForCausalLM"],
    "model_type": "mistral",
    "hidden_size": 64,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 32,  # as Nemo's, it isn't hidden_size / num_attention_heads
    "num_hidden_layers": 2,
    "intermediate_size": 128,
    "vocab_size": 131_072,
    "max_position_embeddings": 131_072,
    "sliding_window": None,  # without the key, transformers takes 4096 for a Mistral
    "rope_theta": 1_000_000.0,
    "rms_norm_eps": 1e-5,
    "hidden_act": "silu",
    "tie_word_embeddings": False,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "torch_dtype": "bfloat16",
}
TOKENIZER = Path(mistral_common.__file__).parent / "data" / "tekken_240718.json"


def tensors() -> dict[str, torch.Tensor]:
    """A checkpoint's tensors by name: the same numbers every time."""
    torch.manual_seed(0)
    hidden, inner, words = CONFIG["hidden_size"], CONFIG["intermediate_size"], CONFIG["vocab_size"]
    queries, keys = (CONFIG[f"num_{kind}_heads"] * CONFIG["head_dim"] for kind in ("attention", "key_value"))
    layer = {
        "self_attn.q_proj": (queries, hidden),
        "self_attn.k_proj": (keys, hidden),
        "self_attn.v_proj": (keys, hidden),
        "self_attn.o_proj": (hidden, queries),
        "mlp.gate_proj": (inner, hidden),
        "mlp.up_proj": (inner, hidden),
        "mlp.down_proj": (hidden, inner),
        "input_layernorm": (hidden,),
        "post_attention_layernorm": (hidden,),
    }
    shapes = {"model.embed_tokens": (words, hidden), "lm_head": (words, hidden), "model.norm": (hidden,)}
    for number in range(CONFIG["num_hidden_layers"]):
        shapes |= {f"model.layers.{number}.{name}": shape for name, shape in layer.items()}
    found = {f"{name}.weight": torch.randn(shape).to(torch.bfloat16) for name, shape in shapes.items()}
    found["lm_head.weight"][seldom()] = 0
    return found


def seldom() -> list[int]:
    """Tokens to say when a grammar leaves nothing better: control tokens, and blanks, with which JSON never ends."""
    tokenizer = json.loads(TOKENIZER.read_text())
    control = tokenizer["config"]["default_num_special_tokens"]
    blanks = [control + word["rank"] for word in tokenizer["vocab"] if base64.b64decode(word["token_bytes"]).isspace()]
    return [*range(control), *(token for token in blanks if token < CONFIG["vocab_size"])]


def main() -> None:
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(CONFIG, indent=1))
    shutil.copy(TOKENIZER, folder / "tekken.json")
    save_file(tensors(), folder / "model.safetensors", metadata={"format": "pt"})


if __name__ == "__main__":
    main()
