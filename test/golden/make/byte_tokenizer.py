"""The demo's models read bytes: a tokenizer of 256 tokens, one a byte, for tools that want one beside the weights."""

import shutil
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast


def write_model(checkpoint: Path, folder: Path) -> None:
    """Copies a checkpoint of the demo into a folder, and writes the tokenizer to it."""
    shutil.copytree(checkpoint, folder)
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    letter = {byte: chr(byte) if byte in printable else chr(256 + others.index(byte)) for byte in range(256)}
    tokenizer = Tokenizer(models.BPE(vocab={letter[byte]: byte for byte in range(256)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=letter[10], pad_token=letter[0]).save_pretrained(folder)
