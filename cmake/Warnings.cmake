# Warnings and sanitizers for all but the kernels.
add_library(ckpt_options INTERFACE)
target_compile_options(ckpt_options INTERFACE -Wall -Wextra -Wshadow -Wconversion -Wnon-virtual-dtor -ffp-contract=off)

# CKPT_SANITIZE: "address,undefined" or "thread"; for the core and its tests, not for the addon inside Node.
set(CKPT_SANITIZE "" CACHE STRING "Sanitizers to build with")
if(CKPT_SANITIZE)
  target_compile_options(ckpt_options INTERFACE -fsanitize=${CKPT_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer -g)
  target_link_options(ckpt_options INTERFACE -fsanitize=${CKPT_SANITIZE})
endif()
