"""What fits on which GPU, and what it costs. README.md says how well that agrees with vLLM.

| file | what it does |
|---|---|
| model.json | this service's model: its configuration and its checkpoint's size |
| model.py | the parts of a model that take memory |
| flags.py | the flags of vLLM that decide about memory |
| memory.py | how much a model takes with these flags |
| cards.py | how much memory a card has |
| sources.py | where a model's numbers come from |
| offers.py | what a machine on offer costs, fits, and what speaks against it |
| report.py | what `inv size` shows |
| views.py | shows offers |
"""

from typing import TYPE_CHECKING

from console.lazy import modules_of

if TYPE_CHECKING:
    from capacity import cards as cards
    from capacity import memory as memory
    from capacity import model as model
    from capacity import offers as offers
    from capacity import report as report
    from capacity import sources as sources
    from capacity import views as views
else:
    __getattr__ = modules_of(__name__)
