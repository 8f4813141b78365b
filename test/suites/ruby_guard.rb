# What a Ruby program has to do to work with protected keys, for the tests of
# Ruby's OpenSSL module. Ruby asks a key for its numbers to learn whether it is
# a private one. A protected key does not give any; versions before 3.1.3
# follow a null pointer then, later ones raise an error. Here private? looks at
# the key's text, public numbers come from the public key, and what needs the
# private ones raises. For keys that are not protected nothing changes.
require "openssl"

module ProtectedKey
  PUBLIC = %i[n e p q g pub_key group].freeze
  PRIVATE = %i[d dmp1 dmq1 iqmp priv_key private_key params set_key
               set_factors set_crt_params set_pqg group= public_key=
               private_key= check_key generate_key! export to_pem to_s
               to_der].freeze

  def protected?
    to_text.include?("protected by MPK")
  end

  def private?
    protected? || super
  end

  def without_private_part
    OpenSSL::PKey.read(public_to_der)
  end

  def self.define(type, names)
    names = names.select { |name| type.method_defined?(name) }
    type.prepend(Module.new do
      names.each do |name|
        define_method(name) do |*args|
          protected? ? yield(self, name) : super(*args)
        end
      end
    end)
  end

  def self.guard(type)
    type.prepend(self)
    type.alias_method(:private_key?, :private?)
    define(type, PUBLIC) { |key, name| key.without_private_part.send(name) }
    define(type, PRIVATE) do |_, name|
      raise OpenSSL::PKey::PKeyError, "#{name}: the key is protected"
    end
  end
end

PKey = OpenSSL::PKey
[PKey::RSA, PKey::DSA, PKey::EC].each { |type| ProtectedKey.guard(type) }
# That of RSA and DSA is made from public_to_der anyway.
ProtectedKey.define(PKey::EC, [:public_key]) do |key, name|
  key.without_private_part.send(name)
end
# RSA's p and q are private, DSA's are not.
ProtectedKey.define(PKey::RSA, %i[p q]) do |_, name|
  raise PKey::PKeyError, "#{name}: the key is protected"
end
