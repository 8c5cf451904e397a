"""The wire as protobuf: the one place that knows the generated code. `make proto` makes it anew."""
