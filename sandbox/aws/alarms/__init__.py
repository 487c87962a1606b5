"""CloudWatch's alarms on the hosts of the emulated AWS account: moto stores them, and this makes them go off.

evaluation.py      which state an alarm has, from the values of its metric
samples.py         the values of each metric, one a minute
watch.py           the thread that takes samples and evaluates all alarms
actions.py         what an alarm does when its state changes, and the log of it
"""
