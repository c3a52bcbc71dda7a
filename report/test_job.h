// A whole job made by hand for the tests of the renderers: two runs, one of them INVALID. Golden
// files are in tests/golden.
#pragma once

#include <string>

#include "google/protobuf/message.h"
#include "gtest/gtest.h"
#include "report/judge.h"
#include "report/test_data.h"

namespace rackmark {

constexpr char kHostileLine[] = "</script><img onerror=alert(1)>\x1b[31m";

// What a browser, a terminal, a spreadsheet, a Markdown or an XML reader might obey.
inline std::string HostileText() {
  std::string text = "=cmd|' /C calc'!A0,;@SUM(1)\n</script><img src=x onerror=\"alert(1)\">";
  text += "\x1b[2J\x1b]0;title\x07";
  text += '\0';
  text += "\xe2\x80\xaetxt.exe\xe2\x81\xa6\xe2\x80\xa8\xef\xbf\xbf\xef\xbb\xbf";  // RLO, LRI, LS
  text +=
      "\xc2\x9b"
      "31m\xff\xfe\xed\xa0\x80";  // C1, no UTF-8
  text += "\r\n# head\n- item\n|a|b|\n|-|-|\n```\nfence\n`tick` **bold** _em_ ~~x~~ $y$ :+1:";
  text += " [link](javascript:alert(1)) ![i](http://evil.example/i) http://evil.example";
  text += " www.evil.example a@evil.example @everyone #1 &lt;&#60; ]]> <!-- {{7*7}} \\| \\";
  return text;
}

// golden_test.cc: a file of the tree.
std::string ReadSource(const std::string& path);
// tests/golden/NAME holds `text`; RACKMARK_REWRITE_GOLDEN=1 rewrites it.
void ExpectGolden(const std::string& name, const std::string& text);

inline v1::JobSummary FixedJob() {
  RunSummarizer summarizer;
  for (const v1::Chunk& chunk : TestChunks()) EXPECT_TRUE(summarizer.AddChunk(chunk).ok());
  RunFacts facts = TestFacts();
  facts.nodes[0].mutable_environment()->set_cpu_model(kHostileLine);
  (*facts.nodes[0].mutable_environment()->mutable_more())["governor"] = kHostileLine;
  v1::Failure earlier;
  earlier.set_kind(v1::FAILURE_KIND_RANK_DIED);
  earlier.set_rank(1);
  earlier.set_node(kHostileLine);
  earlier.set_detail(kHostileLine);
  earlier.set_stderr_tail(std::string("bad\n") + kHostileLine);
  facts.earlier_failures.push_back(earlier);
  v1::JobSummary job;
  job.set_format(1);
  job.set_cluster_id("0123456789abcdef0123456789abcdef");
  job.set_job_id(3);
  job.set_job_name(kHostileLine);
  (*job.mutable_labels())[kHostileLine] = kHostileLine;
  job.set_source(kHostileLine);
  job.set_submitted_unix_ns(1'700'000'000 * kSecond);
  job.set_rackmark_version("0.1.0");
  job.mutable_by()->set_name("ann");
  *job.add_runs() = summarizer.Finish(facts);
  *job.add_runs() = job.runs(0);
  job.mutable_runs(1)->set_run_id(8);
  job.mutable_runs(1)->mutable_spec()->set_repetition(1);
  job.mutable_runs(1)->mutable_serve()->set_delivered_share(0.5);
  for (v1::RunSummary& run : *job.mutable_runs()) Judge(run);
  job.set_verdict(JobVerdict(job));
  return job;
}

// Puts `text` into every string of the message, those of maps too. Not into a series' name and
// unit, by which its chart is found.
inline void FillStrings(google::protobuf::Message& message, const std::string& text) {
  using Field = google::protobuf::FieldDescriptor;
  const auto* reflection = message.GetReflection();
  if (message.GetDescriptor() == v1::TimeSeries::descriptor()) {
    return static_cast<v1::TimeSeries&>(message).set_owner(text);
  }
  for (int i = 0; i < message.GetDescriptor()->field_count(); ++i) {
    const Field* field = message.GetDescriptor()->field(i);
    const bool is_string = field->cpp_type() == Field::CPPTYPE_STRING;
    const bool is_message = field->cpp_type() == Field::CPPTYPE_MESSAGE;
    if (field->is_map()) {
      reflection->ClearField(&message, field);
      auto* entry = reflection->AddMessage(&message, field);
      entry->GetReflection()->SetString(entry, entry->GetDescriptor()->map_key(), text);
      entry->GetReflection()->SetString(entry, entry->GetDescriptor()->map_value(), text);
    } else if (field->is_repeated()) {
      for (int k = 0; k < reflection->FieldSize(message, field); ++k) {
        if (is_string) reflection->SetRepeatedString(&message, field, k, text);
        if (is_message) FillStrings(*reflection->MutableRepeatedMessage(&message, field, k), text);
      }
    } else if (is_string && field->containing_oneof() == nullptr) {
      reflection->SetString(&message, field, text);
    } else if (is_message && reflection->HasField(message, field)) {
      FillStrings(*reflection->MutableMessage(&message, field), text);
    }
  }
}

// Every kind of text that a summary can hold, all of it hostile.
inline v1::JobSummary HostileJob() {
  v1::JobSummary job = FixedJob();
  v1::RunSummary& short_one = *job.mutable_runs(0);  // all is in the other: the files stay small
  for (const char* list : {"checks", "ranks", "collectives", "series", "nodes", "missing"}) {
    const auto* field = short_one.GetDescriptor()->FindFieldByName(list);
    short_one.GetReflection()->ClearField(&short_one, field);
  }
  v1::RunSummary& run = *job.mutable_runs(1);
  run.add_transports("shm");
  run.mutable_spec()->mutable_serve()->mutable_load()->mutable_trace()->set_requests(3);
  v1::Failure& failure = *run.mutable_failure();
  failure.set_kind(v1::FAILURE_KIND_RANK_FAILED);
  failure.set_device(0);
  FillStrings(job, HostileText());
  return job;
}

}  // namespace rackmark
