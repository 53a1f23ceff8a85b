"""A tiny language model of random weights, made in half a second: its answers fit a grammar and mean nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from tradeloop.errors import PrerequisiteMissing

WIDTH: Final = 64
HEADS: Final = 4
LAYERS: Final = 2
INNER: Final = 128
CONTEXT: Final = 65_536
"""Long, because a byte is a token here: a desk's prompt has some ten thousand."""
MERGES: Final = ("Ġ t", "Ġ a", "h e", "i n", "r e", "o n", "e r", "Ġ s", "a t", "e n", "o r")
"""A byte-level tokenizer without merges is refused."""
SPECIAL: Final = ("<s>", "</s>", "<|im_start|>", "<|im_end|>")
SHARPNESS: Final = 4.0
"""What the output is scaled by: without it every token is as likely as any other, and texts run on for ever."""
TEMPLATE: Final = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def write_random_model(path: Path, *, seed: int = 1, broken: bool = False) -> Path:
    """Write the model as GGUF, 0.7 MB: llama's architecture, 2 layers, 271 tokens.

    `broken`: leave in the bytes from 0x80 on. Half of such a model's texts are no UTF-8, which llama.cpp's chat route
    answers with HTTP 500.

    Raises:
        PrerequisiteMissing: the package `gguf` is not installed.
    """
    try:
        import gguf
    except ImportError as problem:
        raise PrerequisiteMissing("the package gguf is not installed.", hint="pip install gguf") from problem
    tokens, of_byte = _vocabulary()
    writer = gguf.GGUFWriter(str(path), "llama")
    writer.add_name("random")
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(INNER)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(tokens)
    control = int(gguf.TokenType.CONTROL)
    writer.add_token_types([control if token in SPECIAL else int(gguf.TokenType.NORMAL) for token in tokens])
    writer.add_token_merges(list(MERGES))
    writer.add_bos_token_id(tokens.index("<s>"))
    writer.add_eos_token_id(tokens.index("<|im_end|>"))
    writer.add_add_bos_token(False)
    writer.add_chat_template(TEMPLATE)
    # Ollama spells special tokens out within strings, and stops at them: what has no weight is out of the first 20.
    special = list(range(len(tokens) - len(SPECIAL), len(tokens)))
    _add_weights(writer, seed, len(tokens), special if broken else [*special, *of_byte[0x80:]])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _vocabulary() -> tuple[list[str], list[int]]:
    """The tokens, and of each byte the number of its token."""
    visible = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    spelled = {byte: chr(byte) for byte in visible}  # GPT-2's alphabet: each byte as a visible character
    spelled |= {byte: chr(256 + n) for n, byte in enumerate(b for b in range(256) if b not in spelled)}
    merged = [merge.replace(" ", "") for merge in MERGES]
    return [*(spelled[byte] for byte in range(256)), *merged, *SPECIAL], list(range(256))


def _add_weights(writer: object, seed: int, vocabulary: int, silenced: list[int]) -> None:
    import gguf
    import numpy as np

    assert isinstance(writer, gguf.GGUFWriter)  # noqa: S101 - for the type checker
    numbers = np.random.default_rng(seed)

    def drawn(*shape: int, scale: float = 1.0) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
        return np.asarray(numbers.standard_normal(shape) * scale / np.sqrt(shape[-1]), dtype=np.float32)

    output = drawn(vocabulary, WIDTH, scale=SHARPNESS)
    output[silenced] = 0.0
    writer.add_tensor("token_embd.weight", drawn(vocabulary, WIDTH, scale=8.0))
    writer.add_tensor("output.weight", output)
    writer.add_tensor("output_norm.weight", np.ones(WIDTH, dtype=np.float32))
    for layer in range(LAYERS):
        for name, rows, columns in (
            ("attn_q", WIDTH, WIDTH),
            ("attn_k", WIDTH, WIDTH),
            ("attn_v", WIDTH, WIDTH),
            ("attn_output", WIDTH, WIDTH),
            ("ffn_gate", INNER, WIDTH),
            ("ffn_up", INNER, WIDTH),
            ("ffn_down", WIDTH, INNER),
        ):
            writer.add_tensor(f"blk.{layer}.{name}.weight", drawn(rows, columns))
        for name in ("attn_norm", "ffn_norm"):
            writer.add_tensor(f"blk.{layer}.{name}.weight", np.ones(WIDTH, dtype=np.float32))
