"""What runs beside vLLM inside the container. It imports nothing of this repository.

monitor.py   prints vLLM's numbers, and ends vLLM when its engine hangs
"""
