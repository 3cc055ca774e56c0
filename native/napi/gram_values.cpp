#include "gram_values.h"

#include <algorithm>

#include "job_values.h"
#include "values.h"

namespace ckpt {

std::shared_ptr<GramJob> GramValues::job(const Napi::Object& from) {
  auto job = std::make_shared<GramJob>();
  read_inputs(from, job.get());
  job->steps = optional_bool(from, "steps", false);
  return job;
}

Napi::Value GramValues::result(Napi::Env env, const GramResult& from) {
  Napi::Object result = Napi::Object::New(env);
  set_read(result, from);
  Napi::Float64Array sums = Napi::Float64Array::New(env, from.sums.size());
  std::copy(from.sums.begin(), from.sums.end(), sums.Data());
  result.Set("sums", sums);
  return result;
}

}  // namespace ckpt
