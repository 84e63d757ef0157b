variable "bucket" {
  description = "Name of the bucket; S3 names are unique in the world."
  type        = string

  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$", var.bucket))
    error_message = "A bucket name has 3 to 63 lower-case letters, digits, dots and hyphens."
  }
}

variable "prefix" {
  description = "Where in the bucket the workspace lives; storage.objects is s3://BUCKET/PREFIX."
  type        = string
  default     = "nhan"
}

variable "upload_days" {
  description = "Days after which the record of a collected upload expires; 0 keeps them. Match uploads.keep_days."
  type        = number
  default     = 0
}

variable "registry" {
  description = "Also make a container registry with repositories for the serve and train images."
  type        = bool
  default     = false
}

variable "tags" {
  description = "Tags of everything that is made."
  type        = map(string)
  default     = { project = "nhan" }
}
