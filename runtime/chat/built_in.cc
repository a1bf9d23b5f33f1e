#include "runtime/chat/built_in.h"

namespace reform {
namespace {

constexpr BuiltInTemplate kTemplates[] = {
    {"chatml",
     "{% for message in messages %}{{ '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}"
     "{% endfor %}{{ '<|im_start|>assistant\\n' if add_generation_prompt }}"},
    {"llama3",
     "{{ bos_token }}{% for message in messages %}{{ '<|start_header_id|>' + message.role + '<|end_header_id|>\\n\\n' "
     "+ "
     "message.content + '<|eot_id|>' }}{% endfor %}"
     "{{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' if add_generation_prompt }}"},
    {"gemma",
     "{{ bos_token }}{% for message in messages %}"
     "{{ raise_exception('This template has no system turn.') if message.role == 'system' }}"
     "{{ '<start_of_turn>' + ('model' if message.role == 'assistant' else message.role) + '\\n' + message.content + "
     "'<end_of_turn>\\n' }}{% endfor %}{{ '<start_of_turn>model\\n' if add_generation_prompt }}"},
    {"mistral",
     "{{ bos_token }}{% for message in messages %}"
     "{{ raise_exception('This template has no system turn.') if message.role == 'system' }}"
     "{{ '[INST] ' + message.content + ' [/INST]' if message.role == 'user' else message.content + eos_token }}"
     "{% endfor %}"},
    // For models that were never taught to chat.
    {"base",
     "{% for message in messages %}{% if message.role == 'assistant' %}{{ 'Answer: ' + message.content + '\\n\\n' }}"
     "{% else %}{{ message.content + ('\\n\\n' if message.role == 'system' else '\\n') }}{% endif %}{% endfor %}"
     "{{ 'Answer:' if add_generation_prompt }}"},
};

}  // namespace

std::span<const BuiltInTemplate> built_in_templates() { return kTemplates; }

}  // namespace reform
