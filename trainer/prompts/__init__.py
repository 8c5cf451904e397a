"""Prompts of GRPO: files of them, and prompts that a vision-language model writes about their reference images."""

from .files import Prompt as Prompt
from .files import read_prompts as read_prompts
