# Posts a JSON file to the webhook "{{name}}".
# Needs Ruby 3. Run: ruby post.rb [FILE]
require 'net/http'

@secret secret = ENV['INRUSH_SECRET'].to_s
@secret abort 'INRUSH_SECRET: set it to the secret of the webhook' if secret.empty?
uri = URI('{{url}}')
request = Net::HTTP::Post.new(uri, 'content-type' => 'application/json')
@secret request['x-bp-secret'] = secret
request.body = ARGV[0] ? File.binread(ARGV[0]) : '{"hello":"world"}'

response = Net::HTTP.start(uri.hostname, uri.port, use_ssl: uri.scheme == 'https') do |http|
  http.request(request)
end
puts "#{response.code} #{response['x-event-id']}"
abort response.body unless response.is_a?(Net::HTTPSuccess)
