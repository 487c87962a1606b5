"""An AWS account, emulated: moto with stricter Route 53, and EC2 instances that are real hosts."""
