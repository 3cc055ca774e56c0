// Op layer without vectors: one element at a time. Also what every kernel's tail does.
#pragma once

#include "scalar_convert.h"

namespace ckpt {
namespace {

constexpr std::size_t kStep = 1;  // the generic kernel then has no vector loop: its tail is the kernel
#define CKPT_NO_VECTORS 1

}  // namespace
}  // namespace ckpt
