"""Which flags of `vllm serve` sizing understands. One that it does not know may change the memory: it is refused."""

import re

# Flags that change no memory of the GPU, or only how much of the overhead's CUDA graphs and activations is used.
HARMLESS = r"""
    model served_model_name host port uds grpc root_path headless help middleware api_key api_server_count allow_.*
    allowed_.* h11_.* ssl_.* enable_ssl_refresh uvicorn_.* disable_fastapi_docs enable_offline_docs
    disable_uvicorn_access_log disable_access_log_.* sse_keep_alive_interval shutdown_timeout fail_on_environ_validation

    .*log.* .*metrics.* otlp_.* collect_detailed_traces enable_.*_details enable_.*_nvtx_tracing profiler_config
    jit_monitor_.* fingerprint_.* watermark use_tqdm_on_load enable_trace_replay enable_server_load_tracking
    enable_request_id_headers show_hidden_.* enable_tokenizer_info_endpoint ray_workers_use_nsight

    enable_auto_tool_choice tool_.* exclude_tools_.* reasoning_.* chat_template.* default_chat_template_kwargs
    trust_request_chat_template response_role return_.* cohere_.* tokens_only generation_config
    override_generation_config structured_outputs_config io_processor_plugin interleave_mm_strings seed pooler_config
    enable_force_include_usage renderer_num_workers

    tokenizer.* skip_tokenizer_init revision code_revision hf_token hf_config_path config_format load_format
    download_dir safetensors_.* ignore_patterns model_loader_extra_config pt_load_map_location
    max_parallel_loading_workers trust_remote_code model_impl model_class_overrides weight_transfer_config

    scheduling_policy scheduler_.* async_.* stream_interval max_num_queued_.* max_num_scheduled_tokens
    long_prefill_.* prefill_schedule_interval prefix_caching_hash_algo prefix_match_unit kv_events_config
    kv_sharing_fast_prefill disable_chunked_mm_input disable_cascade_attn enable_flash_late_interaction

    .*_backend attention_config kernel_config ir_op_priority compilation_config cudagraph_.* optimization_level
    max_cudagraph_capture_size mamba_ssu_algorithm mamba_cache_philox_rounds enable_mamba_cache_stochastic_rounding
    replayssm_buffer_len enable_bf16x3_.* enable_flashinfer_autotune use_fp64_gumbel enable_batch_sharded_sampling
    additional_config allow_deprecated_quantization

    distributed_.* data_parallel_.* dp_supervisor_.* dcp_.* cp_kv_cache_.* dbo_.* enable_fault_tolerance
    fault_tolerance_config cpu_distributed_.* disable_custom_all_reduce disable_nccl_.* device_ids master_.* node_rank
    enable_expert_parallel enable_ep_weight_filter expert_placement_strategy numa_.* worker_.* ec_.*
    enable_sleep_mode enable_cumem_allocator

    omni .*lora.* limit_mm_per_prompt media_io_kwargs mm_hasher_algorithm mm_processor_.* mm_shm_.*
    mm_device_do_normalize mm_tensor_ipc mm_encoder_attn_.* mm_encoder_fp8_.* skip_mm_profiling video_pruning_.*
    enable_mm_embeds enable_prompt_embeds
"""
HARMLESS_FLAG = re.compile("|".join(HARMLESS.split()))
# flags that change the memory in a way that sizing does not know, unless they have one of these values
REFUSED = {
    **dict.fromkeys(("pipeline_parallel_size", "decode_context_parallel_size", "data_parallel_size"), "1"),
    **dict.fromkeys(("prefill_context_parallel_size", "nnodes"), "1"),
    **dict.fromkeys(("cpu_offload_gb", "num_gpu_blocks_override", "kv_offloading_size", "offload_group_size"), "0"),
    **dict.fromkeys(("use_replayssm", "disable_hybrid_kv_cache_manager", "enable_lora", "enable_eplb"), "false"),
    **dict.fromkeys(("enable_dbo", "enable_elastic_ep", "disable_sliding_window", "mm_encoder_only"), "false"),
    "dtype": "auto half float16 bfloat16",
    "performance_mode": "balanced interactivity",
    "mm_encoder_tp_mode": "weights",
}
SHORT = {
    **{"tp": "tensor_parallel_size", "pp": "pipeline_parallel_size", "dp": "data_parallel_size", "q": "quantization"},
    **{"dcp": "decode_context_parallel_size", "pcp": "prefill_context_parallel_size", "sc": "speculative_config"},
    **{"dc": "diffusion_config", "cc": "compilation_config", "ac": "attention_config", "n": "nnodes"},
    **{"ep": "enable_expert_parallel", "r": "node_rank", "asc": "api_server_count", "h": "help"},
    **{"dpn": "data_parallel_rank", "dpr": "data_parallel_start_rank", "dpl": "data_parallel_size_local"},
    **{"dpa": "data_parallel_address", "dpp": "data_parallel_rpc_port", "dpb": "data_parallel_backend"},
    **{"dph": "data_parallel_hybrid_lb", "dpe": "data_parallel_external_lb"},
    **{"dpm": "data_parallel_multi_port_external_lb", "O": "optimization_level"},
}


def unknown(name: str, value: object) -> bool:
    """Return whether sizing does not know what a flag, which it does not read, changes with this value."""
    if name in REFUSED:
        return str(value).lower() not in REFUSED[name].split()
    return not HARMLESS_FLAG.fullmatch(name)
