"""Models of other kinds that know nothing: `python random_models.py KIND FOLDER` writes one as Hugging Face has it.

Run by the interpreter of vLLM's own environment, which has torch and transformers. Weights are random, and the same
every time. The vocabulary is made of a few sentences.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    PreTrainedTokenizerFast,
    Qwen3Config,
    Qwen3ForCausalLM,
    WhisperConfig,
    WhisperFeatureExtractor,
    WhisperForConditionalGeneration,
    WhisperTokenizerFast,
    XLMRobertaConfig,
    XLMRobertaModel,
)

TEXTS = ["The cat sleeps on the sofa.", "Interest rates fell in March.", "The capital of France is Paris. yes no"]
WORDS = 512  # in the vocabulary, with room for more than the texts have
SPEECH = ("startoftranscript", "en", "translate", "transcribe", "startoflm", "startofprev", "nospeech", "notimestamps")


def trained(special: list[str]) -> Tokenizer:
    """A tokenizer whose first tokens are the special ones."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=WORDS - 100, special_tokens=special, initial_alphabet=alphabet)
    tokenizer.train_from_iterator(TEXTS, trainer)
    return tokenizer


def embeddings(folder: Path) -> None:
    """An encoder of bge-m3's architecture."""
    special = {"bos_token": "<s>", "pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}
    tokenizer = trained(list(special.values()))
    special |= {"cls_token": "<s>", "sep_token": "</s>"}
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special).save_pretrained(folder)
    config = XLMRobertaConfig(
        vocab_size=WORDS,
        hidden_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=128,
        max_position_embeddings=8194,
        type_vocab_size=1,
        position_embedding_type="absolute",
    )
    XLMRobertaModel(config).save_pretrained(folder)


def reranking(folder: Path) -> None:
    """A decoder of Qwen3-Reranker's architecture, which says yes or no."""
    special = {"unk_token": "<unk>", "pad_token": "<pad>", "eos_token": "<eos>"}
    tokenizer = trained(list(special.values()))
    tokenizer.add_tokens(["yes", "no"])
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special).save_pretrained(folder)
    config = Qwen3Config(
        vocab_size=WORDS,
        hidden_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=32,
        intermediate_size=128,
        max_position_embeddings=40_960,
        tie_word_embeddings=True,
        pad_token_id=1,
        eos_token_id=2,
    )
    Qwen3ForCausalLM(config).to(torch.bfloat16).save_pretrained(folder)


def transcription(folder: Path) -> None:
    """An encoder and decoder of Whisper's architecture."""
    end, others = "<|endoftext|>", [f"<|{name}|>" for name in SPEECH]
    words = json.loads(trained([end]).to_str())["model"]
    pairs = [tuple(pair) for pair in words["merges"]]
    tokenizer = WhisperTokenizerFast(vocab=words["vocab"], merges=pairs, additional_special_tokens=others)
    tokenizer.save_pretrained(folder)
    WhisperFeatureExtractor(feature_size=80).save_pretrained(folder)
    (folder / "processor_config.json").write_text('{"processor_class": "WhisperProcessor"}')
    last = tokenizer.convert_tokens_to_ids(end)
    config = WhisperConfig(
        vocab_size=WORDS,
        d_model=64,
        encoder_layers=2,
        decoder_layers=2,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=128,
        decoder_ffn_dim=128,
        num_mel_bins=80,
        bos_token_id=last,
        eos_token_id=last,
        pad_token_id=last,
        decoder_start_token_id=tokenizer.convert_tokens_to_ids("<|startoftranscript|>"),
    )
    WhisperForConditionalGeneration(config).half().save_pretrained(folder)


KINDS: dict[str, Callable[[Path], None]] = {
    "embeddings": embeddings,
    "reranking": reranking,
    "transcription": transcription,
}

if __name__ == "__main__":
    torch.manual_seed(0)
    Path(sys.argv[2]).mkdir(parents=True)
    KINDS[sys.argv[1]](Path(sys.argv[2]))
