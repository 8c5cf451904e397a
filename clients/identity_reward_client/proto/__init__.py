"""The wire as protobuf: the only package that imports the generated code (`make proto` generates it)."""
