"""What fits on which GPU, reckoned from the model's own configuration the way vLLM reckons it.

model.py knows the model, flags.py what vLLM is told, cards.py the GPUs, memory.py puts them together; sources.py reads,
report.py prints. README.md here says how far the numbers are off.
"""
