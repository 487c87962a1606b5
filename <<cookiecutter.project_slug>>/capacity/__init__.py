"""Sizes models: what fits on which GPU, and what it costs. README.md says how well that agrees with vLLM.

These modules take values: machines, a service's document, a model's numbers. They ask no dstack server.

| file | what it does |
|---|---|
| model.json, served.py | this service's own model: its kind, its configuration, its checkpoint's size |
| sources.py | reads a model's numbers: from model.json, a folder, Hugging Face |
| keys.py | the keys of a config.json that sizing understands |
| kinds.py | the kinds of layers |
| model.py | a model's numbers, and the kind of each of its layers |
| encoders.py | models that read a whole text or recording at once |
| quantization.py | how a checkpoint's weights are quantised |
| parameters.py | how many parameters a model's linear layers have |
| weights.py | the memory that a model's weights take |
| attention.py | what attention layers keep for each token |
| states.py | what layers with a state keep for each request |
| drafts.py | what speculative decoding takes |
| kv_cache.py | the blocks of the KV cache, and how many requests they hold |
| flags.py | the flags of vLLM that change how much memory it takes |
| known_flags.py | which flags sizing understands |
| length.py | how long a request may be |
| cards.py | how much memory a card has |
| memory.py | how much memory a model takes with these flags |
| sizing.py | how a model fits a card |
| machines.py | a machine that a cloud rents out |
| problems.py | warns of what can go wrong on a machine before the model has loaded |
| offers.py | evaluates machines on offer: price, fit, warnings |
| errors.py | the error for what can't be sized or read |
| views.py | shows offers and sizes |
"""

from typing import TYPE_CHECKING

from console.lazy import modules_of

if TYPE_CHECKING:
    from capacity import attention as attention
    from capacity import cards as cards
    from capacity import drafts as drafts
    from capacity import encoders as encoders
    from capacity import errors as errors
    from capacity import flags as flags
    from capacity import keys as keys
    from capacity import kinds as kinds
    from capacity import known_flags as known_flags
    from capacity import kv_cache as kv_cache
    from capacity import length as length
    from capacity import machines as machines
    from capacity import memory as memory
    from capacity import model as model
    from capacity import offers as offers
    from capacity import parameters as parameters
    from capacity import problems as problems
    from capacity import quantization as quantization
    from capacity import served as served
    from capacity import sizing as sizing
    from capacity import sources as sources
    from capacity import states as states
    from capacity import views as views
    from capacity import weights as weights
else:
    __getattr__ = modules_of(__name__)
