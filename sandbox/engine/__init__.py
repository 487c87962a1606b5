"""A stand-in for vLLM: `vllm serve` without a model, a GPU or a download.

It takes the flags that the template uses and refuses others, takes its time to "load", answers vLLM's HTTP API with a
text that says what it is (with --omni, a picture that does; with --runner pooling, numbers that follow from the words
of a text; for Whisper, the title of a recording), and stops as vLLM does. Environment variables, which a service's
`env` can set:

SANDBOX_LOAD_SECONDS   how long the weights "load"; `inf` is for ever
SANDBOX_TOKEN_SECONDS  pause before each token (default 0.01): long streams with few tokens
SANDBOX_REQUESTS       how many requests the engine has beside those of its callers (default 0); those above
                       --max-num-seqs wait. For numbers to look at without callers
SANDBOX_EMBEDDING_LENGTH  how many numbers an embedding has (default 1024)
SANDBOX_CRASH          1: end with exit code 1 after loading, as when the memory of the GPU runs out
SANDBOX_PORT           listen on this port of the loopback interface, whatever --host and --port say (set by the pod)
SANDBOX_ACTIVITY       file that says what the engine is doing, for `dstack metrics` (set by the pod)
SANDBOX_HANG           file whose presence lets the engine hang: it computes nothing more, and /health stays 200 (set by
                       the pod; `python -m sandbox hang POD` creates it)

serve.py       the command: it loads, serves and stops as vLLM does
flags.py       the flags of `vllm serve` that it takes
core.py        the engine behind the API: batch, tokens, hang
vllm_api.py    vLLM's HTTP API
kinds.py       its paths for models that do not chat
shapes.py      the JSON of the API's requests, answers and errors
reply.py       the text that it answers with
pictures.py    the pictures that it answers with, with --omni
speech.py      the words that it answers with, for a recording
pooling.py     the embeddings, or the order of documents, that it answers with, with --runner pooling
telemetry.py   vLLM's metrics, and the file SANDBOX_ACTIVITY
"""
