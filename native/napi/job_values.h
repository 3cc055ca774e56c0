// The columns of every job of segments, and the figures of every result, across the boundary.
#pragma once

#include <napi.h>

#include "../engine/engine.h"

namespace ckpt {

// Fills what all jobs have but the outputs. Copies all that the caller could change under the threads; only
// the cancel flag stays shared.
void read_inputs(const Napi::Object& from, Job* job);
// Fills the outputs of a job that writes.
void read_outputs(const Napi::Object& from, Job* job);

// Sets bytesRead, readSeconds and computeSeconds.
void set_read(Napi::Object result, const CallResult& from);
// Sets bytesWritten, writeSeconds, crc, crcOffset and crcLength.
void set_written(Napi::Object result, const CallResult& from);

}  // namespace ckpt
