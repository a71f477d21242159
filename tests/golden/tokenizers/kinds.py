"""Tokenizers of the kinds that models' folders have, trained on a given text. Needs PyPI's tokenizers, and sentencepiece
for the .model files."""
import io
import json

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
QWEN2 = LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")
O200K = (r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|"
         r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|"
         r"\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+")


def byte_level(lines, vocab, pre_tokenizer, specials, normalizer=None, **trainer):
    tokenizer = Tokenizer(models.BPE())
    if normalizer:
        tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = pre_tokenizer
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=True)
    tokenizer.train_from_iterator(lines, trainers.BpeTrainer(
        vocab_size=vocab, show_progress=False, special_tokens=specials,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), **trainer))
    return tokenizer


def gpt2(lines, vocab):
    return byte_level(lines, vocab, pre_tokenizers.ByteLevel(add_prefix_space=False), ["<|endoftext|>"])


def roberta(lines, vocab):
    tokenizer = byte_level(lines, vocab, pre_tokenizers.ByteLevel(add_prefix_space=True), ["<s>", "</s>"])
    tokenizer.add_special_tokens([AddedToken("<mask>", lstrip=True, rstrip=True, special=True)])
    tokenizer.add_tokens([AddedToken("word", single_word=True)])
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 1), ("<s>", 0))
    return tokenizer


def neox(lines, vocab):
    tokenizer = byte_level(lines, vocab, pre_tokenizers.ByteLevel(add_prefix_space=False), ["<|endoftext|>"], normalizers.NFC())
    tokenizer.add_tokens([AddedToken(" " * n) for n in range(24, 1, -1)])
    return tokenizer


def split_then_bytes(pattern):
    return pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(pattern), "isolated", False),
                                    pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])


def llama3(lines, vocab):
    tokenizer = byte_level(lines, vocab, split_then_bytes(LLAMA3), [])
    tokenizer.add_special_tokens(["<|begin_of_text|>", "<|endoftext|>"])
    bos = tokenizer.token_to_id("<|begin_of_text|>")
    tokenizer.post_processor = processors.Sequence([
        processors.ByteLevel(trim_offsets=True),
        processors.TemplateProcessing(single="<|begin_of_text|> $A", pair="<|begin_of_text|> $A <|begin_of_text|> $B",
                                      special_tokens=[("<|begin_of_text|>", bos)])])
    state = json.loads(tokenizer.to_str())
    state["model"]["ignore_merges"] = True
    return Tokenizer.from_str(json.dumps(state))


def qwen2(lines, vocab):
    tokenizer = byte_level(lines, vocab, split_then_bytes(QWEN2), [], normalizers.NFC())
    tokenizer.add_special_tokens(["<|endoftext|>", "<|im_start|>"])
    return tokenizer


def o200k(lines, vocab):
    return byte_level(lines, vocab, split_then_bytes(O200K), ["<|endoftext|>"])


def digits(lines, vocab):
    return byte_level(lines, vocab, pre_tokenizers.Sequence([
        pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]), ["<|endoftext|>"])


def characters(lines, vocab, byte_fallback, specials=("<unk>", "<s>", "</s>"), merge_unknown=True):
    """Merges of characters, as SentencePiece's: rare characters are no tokens."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    spelled = [f"<0x{byte:02X}>" for byte in range(256)] if byte_fallback else []
    tokenizer.train_from_iterator(lines, trainers.BpeTrainer(
        vocab_size=vocab, show_progress=False, special_tokens=list(specials) + spelled, limit_alphabet=min(400, vocab // 4)))
    state = json.loads(tokenizer.to_str())
    state["model"].update(unk_token="<unk>", fuse_unk=merge_unknown, byte_fallback=byte_fallback)
    state["added_tokens"] = [token for token in state["added_tokens"] if token["content"] in specials]
    return state


SENTENCEPIECE_DECODER = {"type": "Sequence", "decoders": [
    {"type": "Replace", "pattern": {"String": "▁"}, "content": " "}, {"type": "ByteFallback"}, {"type": "Fuse"},
    {"type": "Strip", "content": " ", "start": 1, "stop": 0}]}
BOS_TEMPLATE = {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
                "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
                "special_tokens": {"<s>": {"id": "<s>", "ids": [1], "tokens": ["<s>"]}}}


def llama2(lines, vocab):
    state = characters(lines, vocab, byte_fallback=True)
    state["normalizer"] = {"type": "Sequence", "normalizers": [
        {"type": "Prepend", "prepend": "▁"}, {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}]}
    state.update(pre_tokenizer=None, decoder=SENTENCEPIECE_DECODER, post_processor=BOS_TEMPLATE)
    # As files were written before tokenizers 0.20.
    state["model"]["merges"] = [" ".join(pair) for pair in state["model"]["merges"]]
    return Tokenizer.from_str(json.dumps(state)), state


def mistral(lines, vocab):
    state = characters(lines, vocab, byte_fallback=True)
    state.update(pre_tokenizer={"type": "Metaspace", "replacement": "▁", "prepend_scheme": "first", "split": False},
                 decoder=SENTENCEPIECE_DECODER, post_processor=BOS_TEMPLATE)
    return Tokenizer.from_str(json.dumps(state)), state


def gemma(lines, vocab):
    state = characters(lines, vocab, byte_fallback=True)
    state["normalizer"] = {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}
    state.update(pre_tokenizer={"type": "Split", "pattern": {"String": " "}, "behavior": "MergedWithPrevious", "invert": False},
                 decoder={"type": "Sequence", "decoders": SENTENCEPIECE_DECODER["decoders"][:3]})
    return Tokenizer.from_str(json.dumps(state)), state


def unknown(lines, vocab):
    """Neither bytes nor a fallback: what is rare is <unk>."""
    state = characters(lines, vocab, byte_fallback=False, merge_unknown=False)
    state.update(pre_tokenizer={"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": True},
                 decoder={"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": True})
    return Tokenizer.from_str(json.dumps(state)), state


KINDS = {f.__name__: f for f in (gpt2, roberta, neox, llama3, qwen2, o200k, digits, llama2, mistral, gemma, unknown)}


def build(kind, lines, vocab):
    """A tokenizer of this kind and the text of its tokenizer.json."""
    made = KINDS[kind](lines, vocab)
    if isinstance(made, tuple):
        return made[0], json.dumps(made[1], ensure_ascii=False, separators=(",", ":"))
    return made, json.dumps(json.loads(made.to_str()), ensure_ascii=False, separators=(",", ":"))


def sentencepiece_model(lines, vocab, model_type):
    """The bytes of a .model file."""
    import sentencepiece
    out = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines), model_writer=out, vocab_size=vocab, model_type=model_type, byte_fallback=model_type == "bpe",
        character_coverage=0.995, normalization_rule_name="identity" if model_type == "bpe" else "nmt_nfkc",
        remove_extra_whitespaces=model_type != "bpe", num_threads=1, minloglevel=2)
    return out.getvalue()
