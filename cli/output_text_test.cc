#include "cli/output_text.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "jobs/yaml_reader.h"
#include "rackmark/v1/client_api.pb.h"
#include "report/render.h"

namespace rackmark {
namespace {

TEST(OutputText, YamlOfEveryKindOfValue) {
  EXPECT_EQ(JsonToYaml(R"({
 "name": "a-b", "empty": "", "switch": "no", "number": "12", "text": "a: b #\n\u001b",
 "path": "<\/script>",
 "none": null, "yes": true, "count": -1.5e+3,
 "list": [], "map": {},
 "rows": [{"a": 1, "b": [2, 3]}, [4, [5]], "x"]
})"),
            R"(name: a-b
empty: ""
switch: "no"
number: "12"
text: "a: b #\n\u001b"
path: "</script>"
none: null
"yes": true
count: -1.5e+3
list: []
map: {}
rows:
  - a: 1
    b:
      - 2
      - 3
  - - 4
    - - 5
  - x
)");
  EXPECT_EQ(JsonToYaml("[]"), "[]\n");
  EXPECT_EQ(JsonToYaml(" 1 "), "1\n");
}

v1::ListJobsReply Hostile() {
  v1::ListJobsReply reply;
  v1::JobStatus& job = *reply.add_jobs();
  job.set_job_id(3);
  job.set_name("</script>\"\\\n- x: y\x1b[31m \xc3\xa9");
  job.set_phase(v1::JOB_PHASE_QUEUED);
  job.add_waiting_reasons("needs 2; *alias &anchor !tag {x: [y]}");
  return reply;
}

TEST(OutputText, AStrictYamlReaderFindsTheSameValues) {
  // Our own reader refuses anchors, tags and duplicate keys: hostile text must not become any.
  const auto yaml = ReadYaml(MessageText(Hostile(), Output::kYaml), "out.yaml");
  ASSERT_TRUE(yaml.ok()) << yaml.status();
  const YamlNode& job = FindKey(*yaml, "jobs")->items.at(0);
  EXPECT_EQ(FindKey(job, "name")->text, Hostile().jobs(0).name());
  EXPECT_EQ(FindKey(job, "job_id")->text, "3");
  EXPECT_EQ(FindKey(job, "phase")->text, "QUEUED");
  EXPECT_EQ(FindKey(job, "ended_unix_ns")->kind, YamlNode::Kind::kNull);
  EXPECT_EQ(FindKey(job, "waiting_reasons")->items.at(0).text,
            Hostile().jobs(0).waiting_reasons(0));
}

TEST(OutputText, ALineIsTheSameJsonWithoutLayout) {
  const std::string line = MessageLine(Hostile());
  EXPECT_EQ(line.find('\n'), line.size() - 1);
  EXPECT_THAT(line, testing::HasSubstr(R"("job_id": 3,"name": "<\/script>\"\\\n- x: y\u001b[31m)"));
  // Laying it out again gives what was there.
  EXPECT_EQ(JsonToYaml(line), JsonToYaml(MessageJson(Hostile())));
}

}  // namespace
}  // namespace rackmark
