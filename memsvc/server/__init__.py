"""The gRPC face of the engine: servicers, their checks and conversions, and what wraps each call.

Knows the wire and the engine's verbs; knows no SQL, tensors or model.
"""
