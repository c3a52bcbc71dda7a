#include "coordinator/store/pg_params.h"

#include <utility>

#include "common/status.h"

namespace rackmark {
namespace {

constexpr uint32_t kBytea = 17, kInt8 = 20, kText = 25, kByteaArray = 1001, kInt8Array = 1016;
constexpr size_t kSizeAt = 12;  // of the element count in an array's head

// Big endian, as on the wire.
template <typename Unsigned>
void Put(std::string& out, Unsigned value) {
  for (int shift = static_cast<int>(sizeof(Unsigned)) * 8 - 8; shift >= 0; shift -= 8) {
    out.push_back(static_cast<char>(value >> shift));
  }
}

// One dimension, no nulls, the first index 1.
std::string ArrayHead(uint32_t type, uint32_t size) {
  std::string head;
  for (const uint32_t word : {1U, 0U, type, size, 1U}) Put(head, word);
  return head;
}

}  // namespace

PgBytesArray::PgBytesArray() : bytes_(ArrayHead(kBytea, 0)) {}

uint8_t* PgBytesArray::AddRoom(size_t bytes) {
  Put(bytes_, static_cast<uint32_t>(bytes));
  bytes_.resize(bytes_.size() + bytes);
  ++size_;
  return reinterpret_cast<uint8_t*>(bytes_.data() + bytes_.size() - bytes);
}

void PgBytesArray::Add(std::string_view bytes) {
  Put(bytes_, static_cast<uint32_t>(bytes.size()));
  bytes_.append(bytes);
  ++size_;
}

std::string PgBytesArray::Take() && {
  std::string size;
  Put(size, size_);
  bytes_.replace(kSizeAt, size.size(), size);
  return std::move(bytes_);
}

PgParams& PgParams::Push(uint32_t type, std::string value) {
  types_.push_back(type);
  values_.push_back(std::move(value));
  return *this;
}

PgParams& PgParams::Int(uint64_t value) {
  std::string bytes;
  Put(bytes, value);
  return Push(kInt8, std::move(bytes));
}

PgParams& PgParams::Text(std::string_view text) { return Push(kText, std::string(text)); }

PgParams& PgParams::Bytes(std::string_view bytes) { return Push(kBytea, std::string(bytes)); }

PgParams& PgParams::Ints(std::span<const uint64_t> values) {
  std::string bytes = ArrayHead(kInt8, static_cast<uint32_t>(values.size()));
  for (const uint64_t value : values) {
    Put(bytes, uint32_t{sizeof(value)});
    Put(bytes, value);
  }
  return Push(kInt8Array, std::move(bytes));
}

PgParams& PgParams::BytesArray(PgBytesArray values) {
  return Push(kByteaArray, std::move(values).Take());
}

uint64_t PgInteger(std::string_view bytes) {
  RACKMARK_CHECK(bytes.size() == sizeof(uint64_t));  // our own statement gives another type
  uint64_t value = 0;
  for (const char c : bytes) value = value << 8 | static_cast<uint8_t>(c);
  return value;
}

}  // namespace rackmark
