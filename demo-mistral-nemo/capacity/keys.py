"""Which keys of a config.json sizing understands. A key that it does not know may change the memory: it is refused."""

import re
from collections.abc import Mapping
from typing import Any

from pydantic import AliasChoices, BaseModel

from capacity.errors import SizingError

# Keys that change no layer's size: names, tokens, positions, numerics, training, generation.
HARMLESS = r"""
    _.* architectures auto_map model_type transformers_version torch_dtype dtype id2label label2id num_labels
    .*_token .*_token_ids? .*_token_index .*_token_indices text_config vision_config
    image_processor.* processor.* tokenizer_class vision_feature_.* vision_soft_tokens_per_image image_seq_length
    multimodal_projector_bias mm_tokens_per_image projector_hidden_act spatial_merge_size language_model_only
    default_output_length

    rope_theta rope_local_.* rope_interleave.* rope_type .*_rope_theta rotary_.* partial_rotary_factors?
    initial_context_length
    mrope_.* position_embedding_type nope_layer_interval no_rope_layers no_rope_layer_interval use_rope yarn_.*
    llama_4_scaling max_sequence_length mla_use_nope seq_length n_positions qk_head_dim use_pos_enc

    rms_norm_.* layer_?norm_.* norm_.* use_gemma_norm use_qk_norm qk_norm.* qk_layernorm query_pre_attn_scalar
    attn_scale attn_temperature_tuning floor_scale attn_logit_softcapping final_logit_softcapping attention_.*_bias
    attention_bias attention_multiplier attention_value_scale embedding_multiplier residual_multiplier logits_scaling
    logit_scale logit_softcap.* scale_emb scale_depth dim_model_base mup_.* .*_multipliers? qkv_bias mlp_bias use_bias
    conv_bias lm_head_bias add_.*_bias

    hidden_act hidden_activation mamba_hidden_act swiglu_.* .*dropout.* initializer_.* use_cache cache_implementation
    pretraining_tp gradient_.* output_.* return_.* is_decoder tf_legacy_loss torchscript
    chunk_size_feed_forward problem_type finetuning_task prefix decoder_start_token_id min_length max_length temperature
    top_k top_p typical_p num_beams.* num_return_sequences early_stopping .*_penalty .*no_repeat_ngram_size
    bad_words_ids do_sample remove_invalid_values task_specific_params use_bfloat16 max_new_tokens use_flash_attn.*
    attn_implementation.* ignore_index .*_pdrop input_jitter_noise full_attn_mod interpolate_factor mlp_type
    normalization_function init_method use_gated_activation use_parallel_block use_parallel_embedding
    order_of_interleaved_layers use_embedding_sharing scale_factor

    n_group topk_group topk_method scoring_func score_function routed_scaling_factor moe_router_.* router_.*
    use_moe_router_bias use_routing_bias norm_topk_prob aux_loss_alpha seq_aux ep_size moe_shared_expert_overlap
    use_grouped_topk use_expert_bias enable_moe_block num_expert_group moe_renormalize moe_routed_scaling_factor
    type_vocab_size pooler_.* sbert_.* sentence_transformers .*activation_function apply_spec_augment mask_.*
    .*suppress_tokens forced_decoder_ids max_initial_timestamp_index median_filter_width
    scale_embedding use_weighted_layer_sum classifier_proj_size init_std encoder_layerdrop decoder_layerdrop
    alignment_heads lang_to_id task_to_id language task is_multilingual no_speech_.* .*timestamps.* directionality

    index_topk indexer_rope_interleave index_share_for_mtp_iteration indexer_types
    use_mtp num_mtp_modules mtp_.*

    mamba_expand expand mamba_proj_bias mamba_conv_bias use_conv_bias time_step_.* mamba_dt_.* residual_in_fp32
    rescale_prenorm_residual use_mamba_kernels num_logits_to_keep output_gate_type
    attention_chunk_size interleave_moe_layer_step intermediate_size_mlp moe_layers vocab_size_per_layer_input
    block_auto_adjust_ff_dim block_dim block_ff_dim block_ffn_dim_multiplier block_mlp_init_scale block_multiple_of
    block_norm_eps block_out_init_scale block_use_swiglu block_use_xavier_init conv_use_xavier_init num_dense_layers
"""
HARMLESS_KEY = re.compile("|".join(HARMLESS.split()))
REASONS = {
    r"sparse_attention_config|index_.*|indexer_.*": "an index of a form that sizing does not know",
    r"hybrid_layer_pattern|swa_.*|sliding_window_size|.*_per_layer|attention_other_setting": (
        "layers whose heads differ from those of other layers"
    ),
    r"block_configs": "layers that differ one by one, as pruning left them",
    r"compress_.*|hc_.*|o_groups|o_lora_rank|num_hash_layers": "attention that compresses the tokens",
    r"linear_.*|attn_layer_.*|mamba.*|ssm_.*|.*_mamba_.*|layer_group_size": (
        "states of a form that sizing does not know"
    ),
    r"moe_num_.*|moe_layer_.*|moe_k|ffn_config": "experts under names that sizing does not know",
    r"d_ff|d_kv|encoder_.*|thinker_config|talker_config|is_encoder_decoder": "a part that sizing does not know",
    r"multi_query|new_decoder_architecture|parallel_attn|use_parallel_residual|n_embd|n_head": (
        "layers of a form that sizing does not know"
    ),
    r"expert_dtype": "experts in another number format than quantization_config says",
}
OTHERWISE = "take a card with room for twice its weights, and see what vLLM logs"
REMEDY = "if it changes no memory, give a copy of config.json without it as --config"


def names_of(model: type[BaseModel]) -> frozenset[str]:
    """Return the names that the fields of `model` have in a config.json."""
    names = set()
    for name, field in model.model_fields.items():
        alias = field.validation_alias
        names |= set(alias.choices) if isinstance(alias, AliasChoices) else {alias or name}
    return frozenset(str(name) for name in names)


def check(config: Mapping[str, Any], used: frozenset[str]) -> None:
    """Raise SizingError for a key that is neither used nor harmless, and for one whose value sizing can't use.

    A key that is null, false, 0 or empty says that the model does not have the thing.
    """
    for key, value in sorted(config.items(), key=lambda item: _reason(item[0]) == ""):
        if not value or key in used or HARMLESS_KEY.fullmatch(key) or _says_nothing(key, config):
            continue
        reason = _reason(key)
        problem = f"{key} describes {reason}" if reason else f"sizing does not know the key {key}"
        raise SizingError(problem, OTHERWISE if reason else REMEDY)


def _reason(key: str) -> str:
    """Return what a key that is not understood describes; "" when that is not known."""
    return next((text for names, text in REASONS.items() if re.fullmatch(names, key)), "")


def _says_nothing(key: str, config: Mapping[str, Any]) -> bool:
    """Return whether a key that matters says what holds without it."""
    if key == "attn_type_list":  # MiniMax: 0 is a layer of linear attention
        return set(config[key]) == {1}
    if same := {"sliding_window_size": "sliding_window", "num_layers": "num_hidden_layers"}.get(key):  # said twice
        return bool(config[key] == config.get(same))
    return key in ("linear_head_dim", "linear_num_heads") and bool(config.get("linear_attn_config"))
