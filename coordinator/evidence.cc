#include "coordinator/evidence.h"

#include "common/status.h"
#include "google/protobuf/io/coded_stream.h"
#include "google/protobuf/io/zero_copy_stream_impl_lite.h"

namespace rackmark {

std::string EvidenceBytes(const v1::RunSummary& summary) {
  std::string bytes;
  {
    google::protobuf::io::StringOutputStream sink(&bytes);
    google::protobuf::io::CodedOutputStream out(&sink);
    out.SetSerializationDeterministic(true);  // proto maps have no order of their own
    RACKMARK_CHECK(summary.SerializeToCodedStream(&out));
  }
  return bytes;
}

}  // namespace rackmark
