#include "combine_values.h"

#include <algorithm>

#include "job_values.h"
#include "values.h"

namespace ckpt {

std::shared_ptr<CombineJob> CombineValues::job(const Napi::Object& from) {
  auto job = std::make_shared<CombineJob>();
  read_inputs(from, job.get());
  read_outputs(from, job.get());
  job->table = copy_array<std::int32_t>(from, "table", napi_int32_array);
  job->weights = copy_array<double>(from, "weights", napi_float64_array);
  job->cell = copy_array<std::int32_t>(from, "cell", napi_int32_array);
  job->cell_end = copy_uints(from, "cellEnd");
  job->crc32 = optional_bool(from, "crc32", false);
  return job;
}

Napi::Value CombineValues::result(Napi::Env env, const CombineResult& from) {
  Napi::Object result = Napi::Object::New(env);
  set_read(result, from);
  set_written(result, from);
  Napi::Array nonfinite = Napi::Array::New(env, from.nonfinite.size());
  std::uint32_t index = 0;
  for (const auto& [where, count] : from.nonfinite) {
    Napi::Object entry = Napi::Object::New(env);
    entry.Set("cell", Napi::Number::New(env, where.first));
    entry.Set("member", Napi::Number::New(env, where.second));
    entry.Set("nan", Napi::Number::New(env, static_cast<double>(count.nan)));
    entry.Set("inf", Napi::Number::New(env, static_cast<double>(count.inf)));
    entry.Set("saturated", Napi::Number::New(env, static_cast<double>(count.saturated)));
    nonfinite.Set(index++, entry);
  }
  result.Set("nonfinite", nonfinite);
  if (!from.cell_crc32.empty()) {
    Napi::Uint32Array cells = Napi::Uint32Array::New(env, from.cell_crc32.size());
    std::copy(from.cell_crc32.begin(), from.cell_crc32.end(), cells.Data());
    result.Set("cellCrc32", cells);
  }
  return result;
}

}  // namespace ckpt
