"""The look of what Dilution publishes: figures (`style`) and the self-contained page (`page`)."""
