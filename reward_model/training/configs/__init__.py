"""Typed configurations of every kind of training, their YAML files, and the configurations that ship."""
