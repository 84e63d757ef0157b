output "objects" {
  description = "The setting storage.objects."
  value       = "s3://${aws_s3_bucket.objects.id}/${var.prefix}"
}

output "server_policy" {
  description = "Attach to the role of the servers."
  value       = aws_iam_policy.server.arn
}

output "loop_policy" {
  description = "Attach to the role that runs rounds."
  value       = aws_iam_policy.loop.arn
}

output "repositories" {
  description = "Where the images go, by name."
  value       = { for name, one in aws_ecr_repository.image : name => one.repository_url }
}
