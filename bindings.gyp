# A second description of the native build, for hosts that have node-gyp but no CMake, and for gyp-based addons that embed the core. CMakeLists.txt is
# authoritative; test/unit/merge/native-drift.test.ts keeps the two in step.
#
# node-gyp reads a file of another name (binding.gyp) and no option changes that, so nothing builds from here by itself: `npm run build:gyp` includes
# this file from one that it writes for the command. "gypfile": false in package.json keeps npm from adding an install script because of it.
{
  'variables': {
    'kernel_flags': ['-O3', '-std=c++17', '-ffp-contract=off', '-fno-fast-math', '-fvisibility=hidden', '-Wno-maybe-uninitialized', '-Wno-uninitialized'],
    'core_flags': ['-std=c++17', '-ffp-contract=off', '-fvisibility=hidden', '-fvisibility-inlines-hidden', '-Wall', '-Wextra'],
    'core_sources': [
      'native/cpu/features.cpp',
      'native/cpu/dispatch.cpp',
      'native/io/crc32.cpp',
      'native/io/crc32c.cpp',
      'native/io/fault_guard.cpp',
      'native/io/input.cpp',
      'native/io/output.cpp',
      'native/io/write_back.cpp',
      'native/io/fs_ops.cpp',
      'native/io/probe.cpp',
      'native/io/pieces.cpp',
      'native/engine/boxes.cpp',
      'native/engine/job.cpp',
      'native/engine/shape.cpp',
      'native/engine/chunks.cpp',
      'native/engine/input_feed.cpp',
      'native/engine/chunk_runner.cpp',
      'native/engine/engine.cpp',
      'native/engine/engine_reads.cpp',
      'native/ops/combine/cell_sums.cpp',
      'native/ops/combine/combine.cpp',
      'native/ops/combine/combiner.cpp',
      'native/ops/gram/gram.cpp',
      'native/ops/gram/gram_runner.cpp',
      'native/ops/requantise/quant_job.cpp',
      'native/ops/requantise/quant_scale.cpp',
      'native/ops/requantise/quantiser.cpp',
      'native/ops/requantise/quantiser_outputs.cpp',
      'native/ops/requantise/quant_worker.cpp',
      'native/ops/requantise/requantise.cpp',
    ],
    'addon_sources': [
      'native/napi/addon.cpp',
      'native/napi/errors.cpp',
      'native/napi/values.cpp',
      'native/napi/input_wrap.cpp',
      'native/napi/output_wrap.cpp',
      'native/napi/engine_wrap.cpp',
      'native/napi/functions.cpp',
      'native/napi/pieces_values.cpp',
      'native/napi/job_values.cpp',
      'native/napi/combine_values.cpp',
      'native/napi/gram_values.cpp',
      'native/napi/requantise_values.cpp',
    ],
  },
  'target_defaults': {
    'cflags_cc!': ['-fno-exceptions', '-fno-rtti', '-std=gnu++17', '-std=gnu++20'],
    'xcode_settings': {
      'GCC_ENABLE_CPP_EXCEPTIONS': 'YES',
      'CLANG_CXX_LANGUAGE_STANDARD': 'c++17',
      'GCC_SYMBOLS_PRIVATE_EXTERN': 'YES',
    },
  },
  'targets': [
    {
      'target_name': 'kernels_scalar',
      'type': 'static_library',
      'sources': ['native/kernels/combine_kernel.cpp'],
      'defines': ['CKPT_KERNEL_SCALAR=1', 'CKPT_KERNEL_NAMESPACE=kernels_scalar'],
      'cflags_cc': ['<@(kernel_flags)'],
      'xcode_settings': {'OTHER_CFLAGS': ['<@(kernel_flags)']},
    },
    {
      'target_name': 'core',
      'type': 'static_library',
      'sources': ['<@(core_sources)'],
      'cflags_cc': ['<@(core_flags)'],
      'xcode_settings': {'OTHER_CFLAGS': ['<@(core_flags)']},
      'dependencies': ['kernels_scalar'],
      'conditions': [
        ['target_arch=="x64"', {
          'defines': ['CKPT_HAVE_AVX2=1', 'CKPT_HAVE_AVX512=1'],
          'dependencies': ['kernels_avx2', 'kernels_avx512'],
        }],
        ['target_arch=="arm64"', {
          'defines': ['CKPT_HAVE_NEON=1'],
          'dependencies': ['kernels_neon'],
        }],
      ],
    },
    {
      'target_name': 'ckpt_merge',
      'sources': ['<@(addon_sources)'],
      'include_dirs': ["<!(node -p \"require('node-addon-api').include_dir\")"],
      'defines': ['NAPI_VERSION=8', 'NAPI_CPP_EXCEPTIONS', 'NODE_ADDON_API_DISABLE_DEPRECATED', 'NODE_API_SWALLOW_UNTHROWABLE_EXCEPTIONS'],
      'cflags_cc': ['<@(core_flags)'],
      'xcode_settings': {'OTHER_CFLAGS': ['<@(core_flags)']},
      'dependencies': ['core'],
      'conditions': [
        ['OS=="linux"', {
          'ldflags': ['-Wl,-z,nodelete', '-static-libstdc++', '-static-libgcc', '-Wl,--version-script=<(module_root_dir)/cmake/addon.map', '-s'],
        }],
      ],
    },
  ],
  'conditions': [
    ['target_arch=="x64"', {
      'targets': [
        {
          'target_name': 'kernels_avx2',
          'type': 'static_library',
          'sources': ['native/kernels/combine_kernel.cpp'],
          'defines': ['CKPT_KERNEL_AVX2=1', 'CKPT_KERNEL_NAMESPACE=kernels_avx2'],
          'cflags_cc': ['<@(kernel_flags)', '-mavx2', '-mf16c'],
          'xcode_settings': {'OTHER_CFLAGS': ['<@(kernel_flags)', '-mavx2', '-mf16c']},
        },
        {
          'target_name': 'kernels_avx512',
          'type': 'static_library',
          'sources': ['native/kernels/combine_kernel.cpp'],
          'defines': ['CKPT_KERNEL_AVX512=1', 'CKPT_KERNEL_NAMESPACE=kernels_avx512'],
          'cflags_cc': ['<@(kernel_flags)', '-mavx512f', '-mavx512bw', '-mavx512dq', '-mavx512vl', '-mf16c'],
          'xcode_settings': {'OTHER_CFLAGS': ['<@(kernel_flags)', '-mavx512f', '-mavx512bw', '-mavx512dq', '-mavx512vl', '-mf16c']},
        },
      ],
    }],
    ['target_arch=="arm64"', {
      'targets': [
        {
          'target_name': 'kernels_neon',
          'type': 'static_library',
          'sources': ['native/kernels/combine_kernel.cpp'],
          'defines': ['CKPT_KERNEL_NEON=1', 'CKPT_KERNEL_NAMESPACE=kernels_neon'],
          'cflags_cc': ['<@(kernel_flags)'],
          'xcode_settings': {'OTHER_CFLAGS': ['<@(kernel_flags)']},
        },
      ],
    }],
  ],
}
