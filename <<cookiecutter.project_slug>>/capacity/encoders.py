"""Models that read a whole text or a whole recording at once: encoders of text, and models of speech.

An encoder of text has no KV cache. A model of speech has an encoder, which hears, and a decoder, which writes. Each
layer of the decoder has a second attention, which keeps a key and a value for each position of the recording.
"""

from typing import Any

from pydantic import BaseModel, PositiveInt

from capacity.errors import SizingError

TEXT_ENCODERS = ("bert", "roberta", "xlm-roberta", "camembert")  # by the `model_type` of config.json
PADDED = ("roberta", "xlm-roberta", "camembert")  # whose first two positions are for padding
SPEECH = "whisper"
_NAMES = {  # what sizing reads, and Whisper's name for it
    "num_hidden_layers": "decoder_layers",
    "hidden_size": "d_model",
    "intermediate_size": "decoder_ffn_dim",
    "num_attention_heads": "decoder_attention_heads",
    "max_position_embeddings": "max_target_positions",
}
_UNUSED = {"encoder_attention_heads", "is_encoder_decoder"}


class Listener(BaseModel):
    """The encoder of a model of speech. `max_source_positions`: what it makes of one recording of 30 seconds."""

    encoder_layers: PositiveInt
    encoder_ffn_dim: PositiveInt
    max_source_positions: PositiveInt
    num_mel_bins: PositiveInt

    def layer(self, hidden: int) -> int:
        """Return the parameters of one layer. `hidden`: the numbers of a position."""
        return 4 * hidden * hidden + 2 * hidden * self.encoder_ffn_dim

    def rest(self, hidden: int) -> int:
        """Return the parameters of the two convolutions, of three positions each, and of the positions."""
        return hidden * (3 * self.num_mel_bins + 3 * hidden + self.max_source_positions)


def translated(config: dict[str, Any]) -> dict[str, Any]:
    """Return a config.json with the names that sizing reads. Neither encoders nor models of speech have a lm_head.

    Raises SizingError for a model of speech whose numbers are missing.
    """
    kind = config.get("model_type")
    if kind == SPEECH:
        read = {*_NAMES, *_NAMES.values(), *Listener.model_fields}
        if missing := sorted(read - config.keys() - _NAMES.keys()):
            raise SizingError(f"says nothing of {missing[0]}")
        writer = {name: config[theirs] for name, theirs in _NAMES.items()}
        listener = {name: config[name] for name in Listener.model_fields}
        others = {name: value for name, value in config.items() if name not in read | _UNUSED}
        return others | writer | {"listener": listener, "tie_word_embeddings": True}
    if kind in TEXT_ENCODERS:
        positions = config.get("max_position_embeddings", 512) - 2 * (kind in PADDED)
        return config | {"max_position_embeddings": positions, "tie_word_embeddings": True}
    return config
