"""Built-in chat templates (Jinja source) and the control tokens they need.

Each renders a published format: ChatML (OpenAI), Llama 3, Gemma 3 (which puts
the system text in front of the first user turn) and Zephyr. `plain` is for a
base model: it needs nothing but the tokenizer's end token.
"""

CHATML = """\
{%- for message in messages -%}
{{ '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>\n' }}
{%- endfor -%}
{%- if add_generation_prompt -%}
{{ '<|im_start|>assistant\n' }}
{%- endif -%}
"""

LLAMA3 = """\
{{- bos_token -}}
{%- for message in messages -%}
{{ '<|start_header_id|>' + message.role + '<|end_header_id|>\n\n' }}
{{- message.content | trim + '<|eot_id|>' }}
{%- endfor -%}
{%- if add_generation_prompt -%}
{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}
{%- endif -%}
"""

GEMMA = """\
{{- bos_token -}}
{%- set turn = namespace(system='') -%}
{%- for message in messages -%}
{%- if message.role == 'system' -%}
{%- set turn.system = message.content | trim + '\n\n' -%}
{%- else -%}
{{ '<start_of_turn>' + ('model' if message.role == 'assistant' else 'user') }}
{{- '\n' + turn.system + message.content | trim + '<end_of_turn>\n' }}
{%- set turn.system = '' -%}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}
{{ '<start_of_turn>model\n' }}
{%- endif -%}
"""

ZEPHYR = """\
{%- for message in messages -%}
{{ '<|' + message.role + '|>\n' + message.content + eos_token + '\n' }}
{%- endfor -%}
{%- if add_generation_prompt -%}
{{ '<|assistant|>\n' }}
{%- endif -%}
"""

PLAIN = """\
{%- for message in messages -%}
{{ '' if loop.first else '\n\n' }}
{{- '' if message.role == 'system' else message.role | capitalize + ':\n' }}
{{- message.content }}
{{- eos_token if message.role == 'assistant' }}
{%- endfor -%}
{%- if add_generation_prompt -%}
{{ '\n\nAssistant:\n' }}
{%- endif -%}
"""

BUILT_IN = {
  "chatml": CHATML,
  "llama3": LLAMA3,
  "gemma": GEMMA,
  "zephyr": ZEPHYR,
  "plain": PLAIN,
}

# What the tokenizer must know as one token each; "eos_token" stands for the
# tokenizer's own end token, "bos_token" for its beginning.
NEEDS = {
  "chatml": ("<|im_start|>", "<|im_end|>"),
  "llama3": (
    "bos_token",
    "<|start_header_id|>",
    "<|end_header_id|>",
    "<|eot_id|>",
  ),
  "gemma": ("bos_token", "<start_of_turn>", "<end_of_turn>"),
  "zephyr": ("eos_token",),
  "plain": ("eos_token",),
}
