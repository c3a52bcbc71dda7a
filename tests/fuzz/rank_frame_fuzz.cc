// What a daemon reads from a rank's pipe (worker/daemon/rank_link), and a rank from its daemon's.
// Input: one byte that cuts the stream in pieces, then the stream.
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>

#include "common/frame.h"
#include "common/status.h"
#include "rackmark/v1/rank_frame.pb.h"
#include "tests/fuzz/target.h"
#include "worker/daemon/rank_link.h"

namespace rackmark::fuzz {
namespace {

std::string Framed(std::string_view payload) {
  std::string out;
  for (int shift = 0; shift < 32; shift += 8) {
    out += static_cast<char>((payload.size() >> shift) & 0xff);
  }
  out += payload;
  return out;
}

// A message with something in every field that it can hold.
void FillAll(google::protobuf::Message& message, int depth) {
  using Field = google::protobuf::FieldDescriptor;
  const auto& r = *message.GetReflection();
  for (int i = 0; i < message.GetDescriptor()->field_count(); ++i) {
    const Field* f = message.GetDescriptor()->field(i);
    if (f->is_map()) continue;
    const bool list = f->is_repeated();
    switch (f->cpp_type()) {
      case Field::CPPTYPE_STRING:
        list ? r.AddString(&message, f, "text") : r.SetString(&message, f, "text");
        break;
      case Field::CPPTYPE_UINT64:
        list ? r.AddUInt64(&message, f, 7) : r.SetUInt64(&message, f, 7);
        break;
      case Field::CPPTYPE_UINT32:
        list ? r.AddUInt32(&message, f, 1) : r.SetUInt32(&message, f, 1);
        break;
      case Field::CPPTYPE_MESSAGE:
        if (depth > 4) break;
        FillAll(list ? *r.AddMessage(&message, f) : *r.MutableMessage(&message, f), depth + 1);
        break;
      default: break;
    }
  }
}

// One frame for each case of the oneofs.
template <typename Frame>
void AddFrames(std::string& stream) {
  const auto* type = Frame::descriptor();
  for (int i = 0; i < type->field_count(); ++i) {
    if (type->field(i)->cpp_type() != google::protobuf::FieldDescriptor::CPPTYPE_MESSAGE) continue;
    Frame frame;
    if (type->field(i)->is_repeated()) continue;
    FillAll(*frame.GetReflection()->MutableMessage(&frame, type->field(i)), 0);
    stream += Framed(frame.SerializeAsString());
  }
}

// The payloads that a reader cuts from the stream, piece by piece.
std::vector<std::string> Cut(std::string_view stream, size_t piece, bool* broken) {
  FrameReader reader;
  std::vector<std::string> out;
  while (!stream.empty() && !*broken) {
    const size_t n = std::min(piece, stream.size());
    *broken = !reader.Feed(stream.substr(0, n)).ok();
    stream.remove_prefix(n);
    while (auto payload = reader.Next()) out.push_back(*std::move(payload));
  }
  return out;
}

// The real link on a real socket.
void ThroughLink(std::string_view stream, const std::vector<std::string>& payloads) {
  std::array<int, 2> pipe{}, errors{};
  RACKMARK_CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pipe.data()) == 0);
  RACKMARK_CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, errors.data()) == 0);
  RankLink link(pipe[0], errors[0]);
  const ssize_t sent = send(pipe[1], stream.data(), stream.size(), MSG_NOSIGNAL);
  const ssize_t told = send(errors[1], stream.data(), stream.size(), MSG_NOSIGNAL);
  shutdown(pipe[1], SHUT_RDWR);
  shutdown(errors[1], SHUT_RDWR);
  std::vector<v1::FromRank> frames;
  while (link.Receive(&frames).ok()) continue;
  if (told >= 0) link.ReadStderr();
  RACKMARK_CHECK(link.StderrTail().size() <= kStderrTailBytes);
  for (const int fd : {pipe[1], errors[1]}) RACKMARK_CHECK(close(fd) == 0);
  if (sent != static_cast<ssize_t>(stream.size())) return;
  RACKMARK_CHECK(frames.size() <= payloads.size());
  for (size_t i = 0; i < payloads.size(); ++i) {
    v1::FromRank expected;
    if (!expected.ParseFromString(payloads[i])) {
      RACKMARK_CHECK(frames.size() == i);  // it stops at what is no message
      return;
    }
    RACKMARK_CHECK(i < frames.size());
    RACKMARK_CHECK(frames[i].SerializeAsString() == expected.SerializeAsString());
  }
}

}  // namespace

std::vector<std::string> Seeds() {
  std::string from, to;
  AddFrames<v1::FromRank>(from);
  AddFrames<v1::ToRank>(to);
  return {"\x01" + from, "\x40" + to, "\xff" + from + to, "\x07" + Framed("") + Framed("junk")};
}

}  // namespace rackmark::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace rackmark;
  if (size < 2) return 0;
  const std::string_view stream = fuzz::AsText(data + 1, size - 1);
  bool broken = false, broken_whole = false;
  const auto pieces = fuzz::Cut(stream, size_t{data[0]} + 1, &broken);
  const auto whole = fuzz::Cut(stream, stream.size(), &broken_whole);
  // However the bytes arrive, the frames before a broken one are the same.
  RACKMARK_CHECK(broken == broken_whole && pieces == whole);
  std::string again;
  for (const std::string& payload : whole) {
    again += fuzz::Framed(payload);
    v1::ToRank frame;
    if (!frame.ParseFromString(payload)) continue;
    v1::ToRank copy;
    RACKMARK_CHECK(copy.ParseFromString(frame.SerializeAsString()));
  }
  RACKMARK_CHECK(stream.substr(0, again.size()) == again);
  fuzz::ThroughLink(stream, whole);
  return 0;
}
