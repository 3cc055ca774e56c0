# add_kernel(<isa> [FLAGS ...] [DEFINES ...])
#
# Compiles the one kernel source for one instruction set into an OBJECT library kernels_<isa>. No source outside these libraries gets such flags, or the
# linker might keep an AVX-512 copy of a shared inline function for every CPU.
#
# -ffp-contract=off carries the arithmetic promise: a multiply and an add must stay two roundings also where the instruction set has a fused one.
function(add_kernel isa)
  cmake_parse_arguments(ARG "" "" "FLAGS;DEFINES" ${ARGN})
  string(REGEX REPLACE "_float$" "" ops ${isa})
  string(TOUPPER ${ops} upper)
  add_library(kernels_${isa} OBJECT ${PROJECT_SOURCE_DIR}/native/kernels/combine_kernel.cpp)
  target_compile_definitions(kernels_${isa} PRIVATE CKPT_KERNEL_${upper}=1 CKPT_KERNEL_NAMESPACE=kernels_${isa} ${ARG_DEFINES})
  # -O3 in every configuration: -O0 emits the intrinsics as functions. GCC 12 reports its own intrinsics as maybe uninitialized.
  target_compile_options(kernels_${isa} PRIVATE ${ARG_FLAGS} -O3 -ffp-contract=off -fno-fast-math -Wall -Wextra
    $<$<CXX_COMPILER_ID:GNU>:-Wno-maybe-uninitialized> $<$<CXX_COMPILER_ID:GNU>:-Wno-uninitialized>)
  set_target_properties(kernels_${isa} PROPERTIES POSITION_INDEPENDENT_CODE ON CXX_VISIBILITY_PRESET hidden)
endfunction()
