// Dequantises, averages and quantises anew (the C++ side of src/merge/native/requantise.ts).
#pragma once

#include "../../engine/engine.h"
#include "quant_job.h"

namespace ckpt {

// Blocks the calling thread; a second call waits for the first.
Status requantise(Engine& engine, const QuantJob& job, QuantResult* result);

}  // namespace ckpt
