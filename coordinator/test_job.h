// The job that the tests of this room submit: one CPU device, null runs, short limits, one attempt.
#pragma once

#include "common/time.h"
#include "rackmark/v1/job.pb.h"

namespace rackmark {

inline v1::Job MakeJob(int runs = 1) {
  v1::Job job;
  job.set_name("test");
  job.set_source("the yaml");
  job.mutable_spec()->mutable_gang()->set_devices(1);
  job.mutable_spec()->mutable_gang()->set_kind(v1::DEVICE_KIND_CPU);
  v1::Limits* limits = job.mutable_spec()->mutable_limits();
  limits->set_setup_ns(kSecond);
  limits->set_prepare_ns(kSecond);
  limits->set_measure_ns(kSecond);
  limits->set_drain_ns(kSecond);
  limits->set_attempts(1);
  for (int i = 0; i < runs; ++i) {
    job.mutable_spec()->add_runs()->mutable_null()->set_duration_ns(kSecond);
  }
  return job;
}

}  // namespace rackmark
